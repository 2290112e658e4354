// Objects of kube-apiserver as it stores them in clear: the bytes are what the protobuf
// serializer of k8s.io/apimachinery 0.34.1 has made, with UID and time put in.
import type { Entry } from './etcd.ts';

const namespace = Buffer.from(
  '6b3873000a0f0a02763112094e616d657370616365128d010a730a0b6b7562652d73797374656d12' +
    '001a0022002a2430663361316335322d376130652d346430652d396234332d316336653062316635' +
    '6137373200380042080880f2d6ca0610005a2a0a1b6b756265726e657465732e696f2f6d65746164' +
    '6174612e6e616d65120b6b7562652d73797374656d120c0a0a6b756265726e657465731a080a0641' +
    '63746976651a002200',
  'hex',
);
const lease = Buffer.from(
  '6b3873000a1f0a16636f6f7264696e6174696f6e2e6b38732e696f2f763112054c6561736512c801' +
    '0a9f010a246170697365727665722d3662653567686b6a727470327671766b676832627264346e7a' +
    '7512001a0b6b7562652d73797374656d22002a2431313131313131312d376130652d346430652d39' +
    '6234332d3163366530623166356137373200380042080880f2d6ca0610005a320a20617069736572' +
    '7665722e6b756265726e657465732e696f2f6964656e74697479120e6b7562652d61706973657276' +
    '657212240a116170697365727665722d6162635f75696410901c220c08a5ebdcca061088eadcc302' +
    '1a002200',
  'hex',
);
/** What stands in them for UID and seconds of renewTime. */
const madeUid = Buffer.from('0f3a1c52-7a0e-4d0e-9b43-1c6e0b1f5a77');
const madeSeconds = Buffer.from('a5ebdcca06', 'hex');

export const clusterUid = '5e1f9a34-0c1d-4c55-8d2b-7b9f3c2a1d00';

export function kubeSystem(uid = clusterUid, prefix = '/registry'): Entry {
  return [`${prefix}/namespaces/kube-system`, replaced(namespace, madeUid, Buffer.from(uid))];
}

/** The Lease of an API server, renewed in this second (and 678,901 µs). */
export function renewedLease(unixMs: number, prefix = '/registry', name = 'a'): Entry {
  return [
    `${prefix}/leases/kube-system/apiserver-${name}`,
    replaced(lease, madeSeconds, varint(Math.floor(unixMs / 1_000))),
  ];
}

/** Both, so that the snapshot proves something. */
export function apiServerObjects(
  unixMs: number,
  uid = clusterUid,
  prefix = '/registry',
): readonly Entry[] {
  return [kubeSystem(uid, prefix), renewedLease(unixMs, prefix)];
}

/** Equal in length, so that every length in the message stays right. */
function replaced(bytes: Buffer, from: Buffer, to: Buffer): Buffer {
  const at = bytes.indexOf(from);
  if (at === -1 || from.length !== to.length) throw new Error('not the bytes that were made');
  return Buffer.concat([bytes.subarray(0, at), to, bytes.subarray(at + from.length)]);
}

/** Five bytes, for any second from 1978 to 3058. */
function varint(seconds: number): Buffer {
  const digits = [0, 7, 14, 21, 28].map((shift) => Math.floor(seconds / 2 ** shift) % 128);
  return Buffer.from(digits.map((digit, i) => (i < 4 ? digit | 0x80 : digit)));
}
