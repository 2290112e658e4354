// The daemon's verifier: a child that opens the token and tests each KEK. Never writes.

import { failureLine } from '../providers/pkcs11/child.ts';
import { Pkcs11Provider } from '../providers/pkcs11/pkcs11.ts';
import type { Pkcs11Settings } from '../providers/pkcs11/settings.ts';
import { print } from '../terminal.ts';
import { readLines } from './protocol.ts';

interface Job {
  readonly settings: Pkcs11Settings;
  readonly pin: string;
  readonly fps: readonly string[];
}

/** One job, as the only line on standard input has it. @returns the exit code */
export async function verifyToken(): Promise<number> {
  try {
    const { settings, pin, fps } = (await readLines().next()).value as unknown as Job;
    const provider = await Pkcs11Provider.openHere(settings, pin);
    const verified = await provider.load(fps);
    await provider.selfTest();
    print(JSON.stringify({ verified: [...verified].map(([fp, check]) => ({ fp, check })) }));
    return 0;
  } catch (error) {
    print(JSON.stringify(failureLine(error)));
    return 1;
  }
}
