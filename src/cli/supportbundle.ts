// kleidi support-bundle: what somebody who helps needs to know of this host, in one text
// file that its operator reads before it is sent.
import { hostname } from 'node:os';
import { apiserverSections } from '../admin/support/apiserver.ts';
import { hostSections, journalSection, kleidiSections } from '../admin/support/host.ts';
import { Redaction } from '../admin/support/redaction.ts';
import { secretsOfHost } from '../admin/support/secrets.ts';
import { textOf } from '../admin/support/section.ts';
import { type Config, loadConfig } from '../config.ts';
import { requireFree, writeNewFile } from '../files.ts';
import { printable } from '../printable.ts';
import { note, print, printJson, warn } from '../terminal.ts';
import { jsonOption, requiredText, text } from './option.ts';
import { kubeconfigOption } from './sharedoptions.ts';
import { command } from './verb.ts';

export const supportBundle = command({
  summary: 'one text file for whoever helps: versions, doctor, units, journal, without secrets',
  notes: [
    `Writes what somebody who helps asks for into one new text file of mode 0600: versions,
    configuration with places of secrets masked, doctor, status, the ring, units with drop-ins,
    owners and modes of folders, the journal of kleidi, and of kube-apiserver the flags about
    sealing, the kinds of its providers and its metrics about KMS. Changes nothing.`,
    `PINs, keys, tokens and the contents of Secrets are not in it: it asks for none, and what
    looks like one or is one of this host's is taken out. Names of hosts, addresses and paths
    are in it. Read it before you send it.`,
  ],
  options: {
    out: requiredText('FILE', 'the new file'),
    since: text('TIME', 'journal from then on, as journalctl takes it; default: -24h'),
    kubeconfig: kubeconfigOption,
    json: jsonOption,
  },
  example: 'kleidi support-bundle --out /root/kleidi-support.txt',
  async run({ configPath, given, text, json }) {
    const file = given('out');
    requireFree(file);
    const wish = { configPath, kubeconfig: text('kubeconfig'), since: text('since') ?? '-24h' };
    const contents = await bundle(wish);
    await writeNewFile(file, contents, 0o600);
    const bytes = Buffer.byteLength(contents);
    if (json) printJson({ file, bytes });
    else print(`${file}: ${bytes} bytes`);
    if (process.getuid?.() !== 0) warn('as root it would have all parts');
    note('read it before you send it: it names hosts, addresses and paths');
    return 0;
  },
});

interface Wish {
  readonly configPath: string;
  readonly kubeconfig: string | undefined;
  readonly since: string;
}

/** One part after the other: the token is opened by one of them at a time. */
async function bundle({ configPath, kubeconfig, since }: Wish): Promise<string> {
  const config = configIfValid(configPath);
  const redaction = new Redaction(await secretsOfHost(config, kubeconfig));
  const sections = [
    ...kleidiSections(configPath),
    ...hostSections(config),
    ...apiserverSections({ configPath, config, kubeconfig }),
    journalSection(since),
  ];
  const parts = [`kleidi support bundle of ${hostname()}, ${new Date().toISOString()}\n`];
  for (const section of sections) {
    parts.push(printable(redaction.redacted(await textOf(section))));
  }
  return parts.join('\n');
}

/** That it is not valid is what a part says. */
function configIfValid(configPath: string): Config | undefined {
  try {
    return loadConfig(configPath);
  } catch {
    return undefined;
  }
}
