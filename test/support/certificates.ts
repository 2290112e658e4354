// A CA of a test's own, and what it has signed.
import { spawnSync } from 'node:child_process';

/** ca.pem, server.pem, client.pem with their keys, by openssl(1). */
export function makeCertificates(folder: string): void {
  const script = `set -e
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem
for name in server client; do
  openssl req -newkey rsa:2048 -nodes -subj /CN=$name -keyout $name.key -out $name.csr
  printf 'subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n' > ext
  openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out $name.pem
done`;
  const made = spawnSync('sh', ['-c', script], { cwd: folder });
  if (made.status !== 0) throw new Error(`openssl: ${made.stderr}`);
}
