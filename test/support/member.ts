// Another member of the cluster: a host with a token folder, PIN and ring of its
// own that hold the same KEKs, by copy. What the copy does not show is how KEKs
// get there by key import; that has its own tests.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Settings, TestHost } from './host.ts';

export function memberLike(host: TestHost, settings: Settings = {}): TestHost {
  const member = new TestHost(settings);
  for (const name of ['state', 'pin', 'so-pin']) {
    cpSync(join(host.folder, name), join(member.folder, name), { recursive: true });
  }
  const conf = readFileSync(host.softhsmConf, 'utf8');
  writeFileSync(member.softhsmConf, conf.replaceAll(host.folder, member.folder));
  return member;
}
