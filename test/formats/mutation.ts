// Changes of a JSON text: to its bytes, to its values, and such as leave what it says.
import fc from 'fast-check';
import { seed } from './generated.ts';

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export interface Choice {
  readonly of: number;
  readonly how: number;
  readonly where: number;
  readonly what: number;
  /** Make the checksum right again. */
  readonly isMended: boolean;
}

const any = fc.noBias(fc.nat());
const choice: fc.Arbitrary<Choice> = fc.record({
  ...{ of: any, how: any, where: any, what: any },
  isMended: fc.boolean(),
});

export function choices(count: number, more = 0): readonly Choice[] {
  return fc.sample(choice, { seed: seed + more, numRuns: count });
}

/** A place in a value: what holds it, and its name or number there. */
interface Place {
  readonly holder: Json[] | { [name: string]: Json };
  readonly name: string;
}

function placesIn(value: Json): Place[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.keys(value).flatMap((name) => [
    { holder: value, name },
    ...placesIn((value as { [name: string]: Json })[name] ?? null),
  ]);
}

const letters = '0123456789abcdefABCDEFz"\\\u00e9\n ,:{}[]eE+-./=';

function otherText(text: string, { where, what }: Choice): string {
  const at = where % (text.length + 1);
  const letter = letters[what % letters.length] ?? '';
  const kind = (what >> 8) % 4;
  if (kind === 0) return text.slice(0, at) + letter + text.slice(at);
  if (kind === 1) return text.slice(0, at) + text.slice(at + 1);
  if (kind === 2) return text.slice(0, at) + letter + text.slice(at + 1);
  const code = (text.charCodeAt(at) || 0) ^ (1 << ((what >> 10) % 7));
  return text.slice(0, at) + String.fromCharCode(code) + text.slice(at + 1);
}

const strangers: readonly Json[] = [
  ...[null, true, false, 0, 1, 2, -1, -0, 1.5, 1e15, 1e21, '', '2', 'write', 'read', 'vault'],
  ...[[], {}, ['2'], [2], [null], { format: 2 }, 'a'.repeat(32), 'b'.repeat(64), 'A'.repeat(32)],
  ...['retired', 'destroyed', 'pkcs11', 'sha1', 'sha256', 'host', 'recovery', 'rsa-oaep', 'AAAA'],
  ...[
    '2026-01-01T00:00:00Z',
    '2026-02-29T00:00:00Z',
    'Jan 1 2026 (x)',
    '2026',
    'prod',
    'Prod',
    '-a',
  ],
];

/** As another type that reads alike. */
function retyped(value: Json): Json {
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string') return /^[0-9]{1,15}$/.test(value) ? Number(value) : [value];
  if (value === null) return 'null';
  return Array.isArray(value) ? { ...value } : [value];
}

function changedValue(value: Json, choice: Choice, choiceOf: Place): Json {
  const { what } = choice;
  const kind = what % 5;
  if (kind === 0) return structuredClone(strangers[(what >> 4) % strangers.length] ?? null);
  if (kind === 1) return retyped(value);
  if (typeof value === 'number') return value + ((what >> 4) % 3) - 1;
  if (typeof value === 'string')
    return otherText(value, { ...choice, where: what, what: what >> 3 });
  if (Array.isArray(value) && value.length > 0) {
    return kind === 2 ? [...value, value[what % value.length] ?? null] : [...value].reverse();
  }
  return kind === 2 ? null : (value ?? choiceOf.name);
}

function changeAt(place: Place, places: readonly Place[], choice: Choice): void {
  const holder = place.holder as { [name: string]: Json };
  const value = holder[place.name] ?? null;
  const kind = (choice.how >> 4) % 8;
  if (kind === 0 && Array.isArray(holder)) holder.splice(Number(place.name), 1);
  else if (kind === 0) delete holder[place.name];
  else if (kind === 1 && !Array.isArray(holder)) {
    holder[['note', '__proto__x', 'Format', 'fp', 'KEKS'][choice.what % 5] ?? ''] =
      structuredClone(value);
  } else if (kind === 2) {
    const other = places[choice.what % places.length] ?? place;
    const there = other.holder as { [name: string]: Json };
    const copy = structuredClone(there[other.name] ?? null);
    holder[place.name] = copy;
  } else holder[place.name] = changedValue(value, choice, place);
}

/** Says the same: fields in another order, other white space, numbers and escapes in another form. */
function respelled(value: Json, { what }: Choice): string {
  const kind = what % 4;
  if (kind === 0) return JSON.stringify(reversed(value), null, (what >> 4) % 9);
  const text = JSON.stringify(value, null, (what >> 4) % 3);
  if (kind === 1) return text.replace(/("format": ?)2\b/g, '$12.0');
  if (kind === 2)
    return text.replace(/("generation": ?)(\d+)/g, '$1$2e0').replaceAll('sha', '\\u0073ha');
  return ` \r\n\t${text.replaceAll('"ring":', '"ring":7,"ring":')}\n\n`;
}

function reversed(value: Json): Json {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).reverse();
  return Object.fromEntries(entries.map(([name, each]) => [name, reversed(each)]));
}

/** @param fix makes the checksum of a value right, where it can have one */
export function mutated(text: string, choice: Choice, fix: (value: unknown) => void): string {
  const kind = choice.how % 10;
  if (kind < 2 && !choice.isMended) return otherText(text, choice);
  const value = JSON.parse(text) as Json;
  if (kind === 2) return respelled(value, choice);
  const times = 1 + ((choice.how >> 8) % 2);
  for (let i = 0; i < times; i += 1) {
    const places = placesIn(value);
    const place = places[Math.abs(choice.where + i * 7919) % places.length];
    if (place !== undefined) changeAt(place, places, choice);
  }
  if (choice.isMended) fix(value);
  return JSON.stringify(value, null, 2);
}
