// kleidi doctor: looks at all parts of this host, changes none of them.

import { dirname, join } from 'node:path';
import { askState } from '../admin/daemonclient.ts';
import { vaultKey } from '../admin/keys/vaultknown.ts';
import { readChoices } from '../admin/provision/choices.ts';
import { isProvisioned } from '../admin/provision/offline.ts';
import { type Config, loadConfig } from '../config.ts';
import type { Role, Subject } from '../doctor/check.ts';
import { checks, diagnose, type GroupFinding } from '../doctor/diagnosis.ts';
import { readRing } from '../keyring/ringfile.ts';
import { type Colour, paint, print, printJson } from '../terminal.ts';
import { TokenCommand } from '../tokenchild/client.ts';
import { jsonOption, texts } from './option.ts';
import { command } from './verb.ts';

const groups = checks.map(({ group }) => group);

export const doctor = command({
  summary: 'what is wrong on this host, and what to do',
  notes: [
    `Looks at this host and says of each part whether it is healthy, and if not what to do. Changes
    nothing. Opens the token once; a PIN that the token has refused is not tried again. Exit
    code 1 where a finding is a failure; warnings are not.`,
  ],
  options: {
    only: texts('GROUP', 'only this group, and others by more --only', groups),
    json: jsonOption,
  },
  example: 'kleidi doctor --only token --only ring',
  async run({ configPath, json, texts }) {
    const findings = await diagnose(subjectOf(configPath), texts('only'));
    const counts = countsOf(findings);
    if (json) printJson({ ...counts, findings });
    else show(findings, counts);
    return counts.fail === 0 ? 0 : 1;
  },
});

function subjectOf(configPath: string): Subject {
  const config = once(() => loadConfig(configPath));
  return {
    configPath,
    root: '/',
    isRoot: process.getuid?.() === 0,
    config,
    ring: once(() => readRing(config().ring)),
    role: once(() => roleOf(config, join(dirname(configPath), 'install.conf'))),
    keks: once(() => new TokenCommand(config()).list()),
    tpmKeks: once(() => new TokenCommand(config(), { kind: 'tpm' }).list()),
    vaultKey: once(() => vaultKey(config())),
    state: once(() => askState(config().socket)),
  };
}

async function roleOf(config: () => Config, choices: string): Promise<Role> {
  const { role } = await readChoices(choices);
  return role === 'offline' && isProvisioned(config()) ? 'contradicted' : role;
}

/** Asked by many, done once: opening the token twice could mean two tries of a PIN. */
function once<T>(ask: () => T): () => T {
  let answer: { readonly value: T } | undefined;
  return () => {
    answer ??= { value: ask() };
    return answer.value;
  };
}

interface Counts {
  readonly ok: number;
  readonly warn: number;
  readonly fail: number;
}

function countsOf(findings: readonly GroupFinding[]): Counts {
  const of = (severity: string): number =>
    findings.filter((finding) => finding.severity === severity).length;
  return { ok: of('ok'), warn: of('warn'), fail: of('fail') };
}

const words: Readonly<Record<GroupFinding['severity'], { text: string; colour: Colour }>> = {
  ok: { text: 'ok  ', colour: 'green' },
  warn: { text: 'warn', colour: 'yellow' },
  fail: { text: 'FAIL', colour: 'red' },
};

function show(findings: readonly GroupFinding[], counts: Counts): void {
  let heading = '';
  for (const { group, severity, what, todo } of findings) {
    if (group !== heading) print(group);
    heading = group;
    const { text, colour } = words[severity];
    print(`  ${paint(text, colour, process.stdout)}  ${what.replaceAll('\n', '\n        ')}`);
    if (todo !== undefined) print(`        do: ${todo}`);
  }
  print(`${counts.ok} ok, ${counts.warn} to look at, ${counts.fail} failed`);
}
