// kleidi verify-token: the daemon's verifier child. Not for people: one job as
// a JSON line on standard input, one answer on standard output. Never writes.
import { failureLine } from '../providers/pkcs11/child.ts';
import { Pkcs11Provider } from '../providers/pkcs11/pkcs11.ts';
import type { Pkcs11Settings } from '../providers/pkcs11/settings.ts';
import { print } from './terminal.ts';
import { readJob } from './tokenjob.ts';
import type { Verb } from './verb.ts';

interface Job {
  readonly settings: Pkcs11Settings;
  readonly pin: string;
  readonly fps: readonly string[];
}

export const verifyToken: Verb = {
  hidden: true,
  help: 'usage: kleidi verify-token\n\nUsed by the daemon; see kleidi serve.',

  async run() {
    try {
      const { settings, pin, fps } = (await readJob().next()).value as unknown as Job;
      const provider = await Pkcs11Provider.openHere(settings, pin);
      const verified = await provider.load(fps);
      await provider.selfTest();
      print(JSON.stringify({ verified: [...verified].map(([fp, check]) => ({ fp, check })) }));
      return 0;
    } catch (error) {
      print(JSON.stringify(failureLine(error)));
      return 1;
    }
  },
};
