// What a sealed credential hangs on, in words.
import type { Binding } from '../host/binding.ts';

const words: Readonly<Record<Binding, string>> = {
  host: "this machine's disk",
  tpm2: "this machine's TPM",
  'host+tpm2': "this machine's disk and TPM",
};

export function bindingWords(binding: Binding | undefined): string {
  return binding === undefined ? 'something else' : words[binding];
}
