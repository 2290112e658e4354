// A child inside the cluster's network: it makes the calls that its parent sends it.
// Its argument is a folder with ca.pem, admin.pem and admin.key.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ApiCall, ApiClient, type ApiCredentials, type ApiReply } from './apiclient.ts';

export interface AgentCall {
  readonly id: number;
  readonly call: ApiCall;
}

export interface AgentReply {
  readonly id: number;
  readonly reply: ApiReply | { readonly error: string };
}

export function credentialsIn(folder: string): ApiCredentials {
  const text = (name: string): string => readFileSync(join(folder, name), 'utf8');
  return { ca: text('ca.pem'), cert: text('admin.pem'), key: text('admin.key') };
}

const [, script, folder = ''] = process.argv;
if (script?.endsWith('apiagent.ts')) {
  const client = new ApiClient(credentialsIn(folder));
  process.on('message', async ({ id, call }: AgentCall) => {
    const failed = (error: unknown) => ({ error: String(error) });
    const reply = await client.call(call).catch(failed);
    process.send?.({ id, reply } satisfies AgentReply);
  });
  process.on('disconnect', () => process.exit(0));
}
