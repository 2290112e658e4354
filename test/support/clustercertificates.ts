// What a control plane needs of certificates and keys, by openssl(1): one CA, one
// certificate for all servers, one of an administrator, the keys of service accounts.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const files = ['ca.pem', 'node.pem', 'node.key', 'admin.pem', 'admin.key', 'sa.pub', 'sa.key'];

/** @returns contents by file name */
export function makeClusterCertificates(
  folder: string,
  addresses: readonly string[],
): ReadonlyMap<string, Buffer> {
  const names = [...addresses, '127.0.0.1'].map((address) => `IP:${address}`).join(',');
  const script = `set -e
new="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
openssl req -x509 $new -days 2 -subj /CN=ca -keyout ca.key -out ca.pem
printf 'subjectAltName=${names},DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n' > ext
sign() {
  openssl req $new -subj "$2" -keyout $1.key -out $1.csr
  openssl x509 -req -in $1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out $1.pem
}
sign node /CN=node
sign admin /O=system:masters/CN=admin
openssl ecparam -name prime256v1 -genkey -noout -out sa.key
openssl ec -in sa.key -pubout -out sa.pub`;
  const made = spawnSync('sh', ['-c', script], { cwd: folder });
  if (made.status !== 0) throw new Error(`openssl: ${made.stderr}`);
  return readClusterCertificates(folder);
}

/** As `makeClusterCertificates` has left them there. */
export function readClusterCertificates(folder: string): ReadonlyMap<string, Buffer> {
  return new Map(files.map((name) => [name, readFileSync(join(folder, name))]));
}
