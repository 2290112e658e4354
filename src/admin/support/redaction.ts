// Takes secrets out of a text before it leaves this host: those of this host, by what they
// are, in each form that a program prints them in; and what has the form of a secret. The
// parts of a support bundle show none by themselves; this is for what others have written
// into a unit, a journal or an error.

const mark = '[redacted]';
/** A shorter one is no secret, and would be found everywhere. */
const minLength = 6;

/** Of a variable, in capitals. */
const secretName = '[A-Z][A-Z0-9_]*(?:TOKEN|PASSWORD|PASSWD|SECRET|PASSPHRASE|PIN|_KEY)';

/** By their form, each with what stays of it. */
const forms: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN ([A-Z ]*PRIVATE KEY)-----[\s\S]*?(?:-----END \1-----|$)/g, mark],
  // JSON web tokens: service accounts, OIDC.
  [/\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*/g, mark],
  // Vault's and OpenBao's.
  [/\b(?:hv[sbr]|[sbr])\.[\w-]{20,}/g, mark],
  [/(\bBearer\s+|\bBasic\s+)[\w+/=.~-]{8,}/g, `$1${mark}`],
  [/(\bhttps?:\/\/)[^/\s:@"']*:[^@\s"']*@/g, `$1${mark}@`],
  // Environment= of a unit: all of it in quotes, the value alone, or none.
  [new RegExp(`((["'])${secretName}=)(?:(?!\\2)[^\\n])*`, 'g'), `$1${mark}`],
  [new RegExp(`(\\b${secretName}=)(?:"[^"\\n]*"|'[^'\\n]*'|[^\\s"'[]+)`, 'g'), `$1${mark}`],
];

export class Redaction {
  readonly #known: readonly string[];

  /** @param secrets of this host; those that are too short to tell apart are left out */
  constructor(secrets: readonly string[]) {
    const written = secrets.filter(({ length }) => length >= minLength).flatMap(writtenForms);
    // A longer one first: one may be within another.
    this.#known = [...new Set(written)].sort((a, b) => b.length - a.length);
  }

  redacted(text: string): string {
    const known = this.#known.reduce((left, secret) => left.replaceAll(secret, mark), text);
    return forms.reduce((left, [form, stays]) => left.replace(form, stays), known);
  }
}

/** Base64 is looked for from each of the three places of its first byte. */
function writtenForms(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const inBase64 = (['base64', 'base64url'] as const).flatMap((encoding) =>
    [0, 1, 2].map((offset) => base64Core(bytes, offset, encoding)),
  );
  const hex = bytes.toString('hex');
  const all = [secret, hex, hex.toUpperCase(), encodeURIComponent(secret), ...inBase64];
  return [...all, JSON.stringify(secret).slice(1, -1)].filter(({ length }) => length >= minLength);
}

/** The digits that are the same whatever stands before and after the secret. */
function base64Core(bytes: Buffer, offset: number, encoding: 'base64' | 'base64url'): string {
  const text = Buffer.concat([Buffer.alloc(offset), bytes])
    .toString(encoding)
    .replace(/=+$/, '');
  const first = Math.ceil((offset * 8) / 6);
  const last = Math.floor(((offset + bytes.length) * 8) / 6);
  return text.slice(first, last);
}
