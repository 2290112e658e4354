// Logging in to Vault: AppRole, TLS client certificate, JWT, or a token as it is.
// The Kubernetes auth method is left out on purpose: it asks the API server that
// cannot start without kleidi.
import { KleidiError } from '../../errors.ts';
import { type Login, loginIn, lookupIn, malformed } from './answers.ts';
import type { VaultAuth } from './configured.ts';
import type { VaultHttp } from './http.ts';

/** @throws KleidiError vault-login-failed, vault-unreachable, vault-sealed, pin-missing */
export async function login(http: VaultHttp, auth: VaultAuth, timeoutMs: number): Promise<Login> {
  if (auth.method === 'token') return lookUp(http, await auth.token(), timeoutMs);
  const body = await credentials(auth);
  const path = `auth/${auth.mount}/login`;
  const answer = await http.ask({ method: 'POST', path, body, timeoutMs }).catch(explain(auth));
  return loginIn(answer, 'login');
}

/** Asks for the whole lease again. @throws KleidiError vault-* */
export async function renew(http: VaultHttp, token: string, timeoutMs: number): Promise<Login> {
  const path = 'auth/token/renew-self';
  const answer = await http.ask({ method: 'POST', path, body: {}, token, timeoutMs });
  const renewed = loginIn(answer, 'renew-self');
  if (renewed.token !== token) throw malformed('renew-self');
  return renewed;
}

/** What Vault says of a token that it takes. @throws KleidiError vault-denied, vault-* */
export async function askAbout(http: VaultHttp, token: string, timeoutMs: number): Promise<Login> {
  const path = 'auth/token/lookup-self';
  return lookupIn(await http.ask({ method: 'GET', path, token, timeoutMs }), token);
}

async function credentials(auth: Exclude<VaultAuth, { method: 'token' }>): Promise<object> {
  switch (auth.method) {
    case 'approle':
      return { role_id: auth.roleId, secret_id: await auth.secretId() };
    case 'cert':
      return auth.role === '' ? {} : { name: auth.role };
    case 'jwt':
      return { role: auth.role, jwt: await auth.jwt() };
  }
}

async function lookUp(http: VaultHttp, token: string, timeoutMs: number): Promise<Login> {
  return askAbout(http, token, timeoutMs).catch((thrown: unknown) => {
    const error = KleidiError.from(thrown);
    if (error.code !== 'vault-denied') throw error;
    throw new KleidiError(
      'vault-login-failed',
      'Vault refuses the token of vault.auth.token: it has expired or was revoked, or its policy lacks auth/token/lookup-self',
      {
        hint: 'put a new token in its place (a credential: also systemctl restart kleidi); one that cannot be renewed ends permanently, so use approle, cert or jwt',
        cause: error,
      },
    );
  });
}

/** A refused login is about credentials, whatever status it came with. */
function explain(auth: VaultAuth): (thrown: unknown) => never {
  return (thrown) => {
    const error = KleidiError.from(thrown);
    const isRefusal = ['vault-denied', 'vault-key-missing', 'vault-login-failed'].includes(
      error.code,
    );
    if (!isRefusal) throw error;
    throw new KleidiError(
      'vault-login-failed',
      `login by ${auth.method} is refused: ${error.message}`,
      {
        hint: "check vault.auth: role, mount, and that the secret has not expired and is no wrapping token; Vault's audit log has the reason",
        cause: error,
      },
    );
  };
}
