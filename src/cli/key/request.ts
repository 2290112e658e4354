// kleidi key request: this host's one-shot transport key. The same one while it
// is open, so that the command can be run again.
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename } from 'node:path';
import { loadConfig } from '../../config.ts';
import { writeFileAtomically, writeNewFile } from '../../files.ts';
import { recipientOf } from '../../keyring/publickey.ts';
import {
  formatRequest,
  makeRequest,
  type Request,
  readRequest,
  requestRecord,
} from '../../keyring/request.ts';
import { readRing, withRingLock } from '../../keyring/ringfile.ts';
import { note, print, printJson } from '../../terminal.ts';
import { TokenCommand } from '../../tokenchild/client.ts';
import { flag, jsonOption, text } from '../option.ts';
import type { Parsed } from '../parse.ts';
import { command } from '../verb.ts';

const optionTable = {
  out: text('FILE', 'write it there, over an older request of this host; without, it is printed'),
  new: flag('void an open request and make another'),
  json: jsonOption,
};

export const keyRequest = command({
  changes: true,
  summary: "this host's one-shot transport key, to be given KEKs by",
  notes: [
    `A request for KEKs: the public half of a key pair that this token has made for one import.
    The private half stays in the token and dies with that import. While the request is open,
    the same one is given again.`,
    `Take the fingerprint (sha256) to the host that makes the KEK by a way that cannot be
    tampered with: there it is named as --for FILE=SHA256. It covers the key, and the names of host and
    ring.`,
  ],
  options: optionTable,
  example: 'kleidi key request --out cp2.request',
  run: request,
});

async function request(options: Parsed<typeof optionTable>): Promise<number> {
  const config = loadConfig(options.configPath);
  const made = await withRingLock(config.ring, async (): Promise<Request> => {
    const { ring } = await readRing(config.ring);
    const spki = await new TokenCommand(config).request(options.flag('new'));
    return makeRequest({ spki, recipient: recipientOf(spki) }, ring, hostname());
  });
  const out = options.text('out');
  if (out !== undefined) await writeRequest(out, made);
  if (options.json) printJson(requestRecord(made));
  else if (out === undefined) print(formatRequest(made).trimEnd());
  else print(`${out}: sha256:${made.fingerprint}`);
  if (!options.json && out === undefined) note(`fingerprint sha256:${made.fingerprint}`);
  if (!options.json && out !== undefined) {
    note(
      `next, kleidi key create on a member, or kleidi recovery rewrap offline, with: --for ${basename(out)}=${made.fingerprint}`,
    );
  }
  return 0;
}

/** An older request of this host is of no use any more: its key died with its import. */
async function writeRequest(path: string, made: Request): Promise<void> {
  const old = existsSync(path) ? await readRequest(path).catch(() => undefined) : undefined;
  const isOwn = old?.ring === made.ring && old.host === made.host;
  const write = isOwn ? writeFileAtomically : writeNewFile;
  if (old?.fingerprint !== made.fingerprint) await write(path, formatRequest(made), 0o644);
}
