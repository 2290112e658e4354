// Asks the running daemon for its state, over its own socket.
import * as grpc from '@grpc/grpc-js';
import { KleidiError } from '../errors.ts';
import { loadContract, type StateResponse } from '../kms/contract.ts';

const timeoutMs = 5_000;

/** @throws KleidiError not-running */
export function askState(socket: string): Promise<StateResponse> {
  const Client = grpc.makeGenericClientConstructor(loadContract().state, 'StateService');
  const client = new Client(`unix://${socket}`, grpc.credentials.createInsecure(), {
    'grpc.default_authority': 'localhost',
    'grpc.enable_channelz': 0,
  });
  return new Promise<StateResponse>((resolve, reject) => {
    const answered = (error: grpc.ServiceError | null, response?: StateResponse): void => {
      client.close();
      if (error !== null || response === undefined) reject(notRunning(socket, error));
      else resolve(response);
    };
    const call = client['State'] as (
      request: object,
      options: object,
      done: typeof answered,
    ) => void;
    call.call(client, {}, { deadline: Date.now() + timeoutMs }, answered);
  });
}

function notRunning(socket: string, error: grpc.ServiceError | null): KleidiError {
  const why = error?.details.replace(/\. Resolution note:.*$/, '') ?? 'no answer';
  return new KleidiError('not-running', `no kleidi daemon answers on ${socket}: ${why}`, {
    hint: 'systemctl status kleidi; if it runs, you may lack the right: be root or in group kleidi-clients',
    cause: error,
  });
}
