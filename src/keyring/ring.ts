// The ring: which KEKs there are, by fingerprint, and what each is for. The
// same file on every control-plane host. This file knows its form and rules;
// ringfile.ts knows the disk.
import { KleidiError } from '../errors.ts';
import { isHex, isRecord } from '../jsonvalue.ts';
import { providerKinds } from '../providers/algorithm.ts';
import type { KekIdentity, ProviderKind } from '../providers/provider.ts';
import { formatKeyId, isRingName } from './keyid.ts';

/**
 * staged: decrypts, has never been written with. write: exactly one, none at
 * generation 0. read: decrypts only. retired: refused; the key still exists.
 * destroyed: refused for good; stays in the ring, so that no member brings it back.
 */
export type KekState = 'staged' | 'write' | 'read' | 'retired' | 'destroyed';

export interface RingKek extends KekIdentity {
  readonly state: KekState;
  readonly provider: ProviderKind;
  /** The fingerprint of the recovery key in hex, or null: no way back. */
  readonly recovery: string | null;
  /** RFC 3339, UTC. */
  readonly created: string;
}

export interface Ring {
  readonly format: 2;
  readonly ring: string;
  /** 32 hex digits from the first KEK on, null before. */
  readonly ringId: string | null;
  readonly generation: number;
  readonly keks: readonly RingKek[];
}

/** A key id has room for 15 digits. */
export const maxGeneration = 1e15 - 1;

const kekStates: readonly string[] = ['staged', 'write', 'read', 'retired', 'destroyed'];

/** @throws KleidiError ring-invalid, with every fault at once */
export function parseRing(text: string, path: string): Ring {
  const value = parseJson(text, path);
  const faults = ringFaults(value);
  if (faults.length > 0) throw invalid(path, faults.join('; '));
  return value as Ring;
}

export function formatRing(ring: Ring): string {
  return `${JSON.stringify(ring, null, 2)}\n`;
}

export function emptyRing(name: string): Ring {
  return { format: 2, ring: name, ringId: null, generation: 0, keks: [] };
}

export function writeKekOf(ring: Ring): RingKek | undefined {
  return ring.keks.find((kek) => kek.state === 'write');
}

/** What this ring is announced by; undefined where it has no write KEK. */
export function keyIdOf(ring: Ring): string | undefined {
  const kek = writeKekOf(ring);
  if (kek === undefined) return undefined;
  return formatKeyId({ ring: ring.ring, generation: ring.generation, fp: kek.fp });
}

/** Whether Decrypt may open what is sealed under it, and its key is needed. */
export function isUnretired({ state }: { readonly state: string }): boolean {
  return state !== 'retired' && state !== 'destroyed';
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw invalid(path, text.trim() === '' ? 'it is empty' : 'it is not JSON', cause);
  }
}

/** Each a clause. */
export function ringFaults(value: unknown): string[] {
  if (!isRecord(value)) return ['it is not a JSON object'];
  const { format, ring, ringId, generation, keks, ...rest } = value;
  if (format !== 2) return [`format is ${show(format)}, this kleidi reads format 2`];
  const faults = Object.keys(rest).map((field) => `unknown field ${field}`);
  if (typeof ring !== 'string' || !isRingName(ring)) {
    faults.push(`ring is ${show(ring)}, allowed are 1 to 63 of a-z 0-9 and inner hyphens`);
  }
  if (ringId !== null && !isHex(ringId, 32)) {
    faults.push(`ringId is ${show(ringId)}, allowed are 32 hex digits, or null without a KEK`);
  }
  if (
    !Number.isSafeInteger(generation) ||
    Number(generation) < 0 ||
    Number(generation) > maxGeneration
  ) {
    faults.push(`generation is ${show(generation)}, allowed is a whole number from 0`);
  }
  if (!Array.isArray(keks)) return [...faults, 'keks is not a list'];
  faults.push(...keks.flatMap((kek: unknown, i) => kekFaults(kek, `keks[${i}]`)));
  return faults.length > 0 ? faults : wholeFaults(value as unknown as Ring);
}

function kekFaults(kek: unknown, at: string): string[] {
  if (!isRecord(kek)) return [`${at} is not an object`];
  const { fp, check, state, provider, recovery, created, ...rest } = kek;
  const checks: readonly (readonly [boolean, string])[] = [
    [isHex(fp, 32), `${at}.fp is ${show(fp)}, not 32 hex digits`],
    [isHex(check, 32), `${at}.check is ${show(check)}, not 32 hex digits`],
    [isOneOf(kekStates, state), `${at}.state is ${show(state)}, not one of ${kekStates}`],
    [
      isOneOf(providerKinds, provider),
      `${at}.provider is ${show(provider)}, not one of ${providerKinds}`,
    ],
    [recovery === null || isHex(recovery, 64), `${at}.recovery is neither null nor a SHA-256`],
    [isTime(created), `${at}.created is not a time in UTC as 2026-01-31T00:00:00Z`],
    [Object.keys(rest).length === 0, `${at} has unknown fields ${Object.keys(rest)}`],
  ];
  return checks.filter(([good]) => !good).map(([, fault]) => fault);
}

function wholeFaults(ring: Ring): string[] {
  const faults: string[] = [];
  const fps = ring.keks.map((kek) => kek.fp);
  if (new Set(fps).size !== fps.length) faults.push('a fingerprint stands twice');
  if ((ring.ringId === null) !== (ring.keks.length === 0)) {
    faults.push(`${ring.keks.length} KEKs and ringId ${show(ring.ringId)}: one without the other`);
  }
  const writers = ring.keks.filter((kek) => kek.state === 'write').length;
  const due = ring.generation === 0 ? 0 : 1;
  if (writers !== due) {
    faults.push(`generation ${ring.generation} has ${writers} write KEKs, ${due} is right`);
  }
  return faults;
}

const timeForm = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3})?Z$/;

/** In UTC, of a day that exists. Date.parse alone takes any text in brackets too. */
export function isTime(value: unknown): value is string {
  if (typeof value !== 'string' || !timeForm.test(value)) return false;
  const time = new Date(value);
  return !Number.isNaN(time.getTime()) && time.toISOString().startsWith(value.slice(0, 19));
}

/** Only text: String(['retired']) would read as a state. */
function isOneOf(words: readonly string[], value: unknown): boolean {
  return typeof value === 'string' && words.includes(value);
}

function show(value: unknown): string {
  return JSON.stringify(value)?.slice(0, 80) ?? 'missing';
}

function invalid(path: string, why: string, cause?: unknown): KleidiError {
  return new KleidiError('ring-invalid', `ring file ${path} is not valid: ${why}`, {
    hint: 'take the ring of another member: there run kleidi ring export, here kleidi ring adopt; or restore it from a backup',
    cause,
  });
}
