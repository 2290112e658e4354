// Logging in to Vault: AppRole, TLS client certificate, JWT, or a token as it is.
// The Kubernetes auth method is left out on purpose: it asks the API server that
// cannot start without kleidi.
import { KleidiError } from '../../errors.ts';
import type { Answer, VaultHttp } from './http.ts';
import type { VaultAuth } from './settings.ts';

export interface Login {
  readonly token: string;
  /** 0: does not expire. */
  readonly leaseMs: number;
  readonly renewable: boolean;
}

/** @throws KleidiError vault-login-failed, vault-unreachable, vault-sealed, pin-missing */
export async function login(http: VaultHttp, auth: VaultAuth, timeoutMs: number): Promise<Login> {
  if (auth.method === 'token') return lookUp(http, await auth.token(), timeoutMs);
  const body = await credentials(http, auth, timeoutMs);
  const path = `auth/${auth.mount}/login`;
  return loginOf(await http.ask({ method: 'POST', path, body, timeoutMs }).catch(explain(auth)));
}

/** Asks for the whole lease again. @throws KleidiError vault-* */
export async function renew(http: VaultHttp, token: string, timeoutMs: number): Promise<Login> {
  const path = 'auth/token/renew-self';
  return loginOf(await http.ask({ method: 'POST', path, body: {}, token, timeoutMs }));
}

async function credentials(
  http: VaultHttp,
  auth: Exclude<VaultAuth, { method: 'token' }>,
  timeoutMs: number,
): Promise<object> {
  switch (auth.method) {
    case 'approle': {
      const secret = await auth.secretId();
      const secretId = auth.wrapped ? await unwrapped(http, secret, timeoutMs) : secret;
      return { role_id: auth.roleId, secret_id: secretId };
    }
    case 'cert':
      return auth.role === '' ? {} : { name: auth.role };
    case 'jwt':
      return { role: auth.role, jwt: await auth.jwt() };
  }
}

/** A wrapping token opens once: whoever has read it before us is found out here. */
async function unwrapped(http: VaultHttp, token: string, timeoutMs: number): Promise<string> {
  const path = 'sys/wrapping/unwrap';
  const answer = await http.ask({ method: 'POST', path, body: {}, token, timeoutMs }).catch(() => {
    throw new KleidiError('vault-login-failed', 'the wrapped secret id cannot be unwrapped', {
      hint: 'it has expired or was opened before, perhaps by somebody else: issue a new one and look into the audit log',
    });
  });
  return String((answer['data'] as Answer | undefined)?.['secret_id'] ?? '');
}

async function lookUp(http: VaultHttp, token: string, timeoutMs: number): Promise<Login> {
  const answer = await http.ask({
    method: 'GET',
    path: 'auth/token/lookup-self',
    token,
    timeoutMs,
  });
  const { ttl, renewable } = (answer['data'] ?? {}) as { ttl?: number; renewable?: boolean };
  return { token, leaseMs: (ttl ?? 0) * 1000, renewable: renewable === true };
}

function loginOf(answer: Answer): Login {
  const auth = answer['auth'] as
    | { client_token?: string; lease_duration?: number; renewable?: boolean }
    | undefined;
  if (typeof auth?.client_token !== 'string' || auth.client_token === '') {
    throw new KleidiError('vault-login-failed', 'Vault answered a login without a token', {
      hint: 'the auth mount may demand multi-factor login, which a service cannot do',
    });
  }
  return {
    token: auth.client_token,
    leaseMs: (auth.lease_duration ?? 0) * 1000,
    renewable: auth.renewable === true,
  };
}

/** A refused login is about credentials, whatever status it came with. */
function explain(auth: VaultAuth): (thrown: unknown) => never {
  return (thrown) => {
    const error = KleidiError.from(thrown);
    const own = ['vault-unreachable', 'vault-sealed', 'vault-throttled'].includes(error.code);
    if (own) throw error;
    throw new KleidiError(
      'vault-login-failed',
      `login by ${auth.method} is refused: ${error.message}`,
      {
        hint: "check vault.auth: role, mount, and that the secret has not expired; Vault's audit log has the reason",
        cause: error,
      },
    );
  };
}
