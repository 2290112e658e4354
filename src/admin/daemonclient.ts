// Asks the running daemon for its state, over its own socket. An absent daemon and
// one that does not answer are two different answers: only where nothing listens
// may a command go on as if there were none.
import { once } from 'node:events';
import { connect } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import { KleidiError } from '../errors.ts';
import { isErrno } from '../files.ts';
import { loadContract, type StateResponse } from '../kms/contract.ts';

const timeoutMs = 5_000;

/** @throws KleidiError not-running where nothing listens, no-answer where something does */
export async function askState(socket: string): Promise<StateResponse> {
  await requireListener(socket);
  const Client = grpc.makeGenericClientConstructor(loadContract().state, 'StateService');
  const client = new Client(`unix://${socket}`, grpc.credentials.createInsecure(), {
    'grpc.default_authority': 'localhost',
    'grpc.enable_channelz': 0,
  });
  return new Promise<StateResponse>((resolve, reject) => {
    const answered = (error: grpc.ServiceError | null, response?: StateResponse): void => {
      client.close();
      if (error !== null || response === undefined) reject(noAnswer(socket, reasonOf(error)));
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

/** The kernel answers this, also for a socket that systemd holds for a daemon that is stopped. */
async function requireListener(socket: string): Promise<void> {
  const probe = connect(socket);
  try {
    await once(probe, 'connect');
  } catch (error) {
    if (isErrno(error, 'EACCES')) throw notAllowed(socket, error);
    const isAbsent = isErrno(error, 'ENOENT') || isErrno(error, 'ECONNREFUSED');
    throw isAbsent ? notRunning(socket, error) : noAnswer(socket, String(error));
  } finally {
    probe.destroy();
  }
}

function reasonOf(error: grpc.ServiceError | null): string {
  if (error?.code === grpc.status.DEADLINE_EXCEEDED) return `not within ${timeoutMs / 1_000} s`;
  return error?.details.replace(/\. Resolution note:.*$/, '') ?? 'no answer';
}

function notRunning(socket: string, cause: unknown): KleidiError {
  return new KleidiError('not-running', `no kleidi daemon listens on ${socket}`, {
    hint: 'systemctl status kleidi.socket kleidi.service',
    cause,
  });
}

function notAllowed(socket: string, cause: unknown): KleidiError {
  return new KleidiError('no-answer', `this user may not connect to ${socket}`, {
    hint: 'run the command as root (sudo), or as a member of the group kleidi-clients',
    cause,
  });
}

function noAnswer(socket: string, why: string): KleidiError {
  return new KleidiError('no-answer', `the kleidi daemon on ${socket} does not answer: ${why}`, {
    hint: 'systemctl status kleidi and journalctl -u kleidi say what it does; to work without a daemon: systemctl stop kleidi.socket kleidi.service',
  });
}
