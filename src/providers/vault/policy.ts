// The least policy that kleidi needs, for `kleidi vault policy`.

/** In Vault's own language, for `vault policy write`. */
export function policyOf(mount: string, key: string): string {
  return `# Seal and open, by an explicit key version.
path "${mount}/encrypt/${key}" { capabilities = ["update"] }
path "${mount}/decrypt/${key}" { capabilities = ["update"] }
# Which versions there are, and the fingerprint of each.
path "${mount}/keys/${key}" { capabilities = ["read"] }
path "${mount}/hmac/${key}/sha2-256" { capabilities = ["update"] }
# Its own token, where the default policy is not attached.
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
`;
}
