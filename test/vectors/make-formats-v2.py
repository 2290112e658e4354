"""Made formats-v2.json, once: from docs/formats.md and pyca/cryptography, without kleidi's code.

    python3 test/vectors/make-formats-v2.py > formats-v2.json
"""
import base64
import hashlib
import json
import os
import sys

from cryptography.hazmat.primitives import cmac, hashes, serialization
from cryptography.hazmat.primitives.asymmetric import mlkem, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

DER, PEM = serialization.Encoding.DER, serialization.Encoding.PEM
SPKI, PKCS8 = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PrivateFormat.PKCS8
PLAIN = serialization.NoEncryption()
RING, TOKEN, PIN = "prod", "kleidi", "0123456789abcdef0123456789abcdef"
PASSPHRASE = "six random words of the vector"


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def sha256(data):
    return hashlib.sha256(data.encode() if isinstance(data, str) else data)


def mac(kek, text):
    c = cmac.CMAC(algorithms.AES(kek))
    c.update(text.encode("ascii"))
    return c.finalize().hex()


def spki(key):
    return key.public_key().public_bytes(DER, SPKI)


def pem(key):
    return key.public_key().public_bytes(PEM, SPKI).decode()


def b64(data):
    return base64.b64encode(data).decode()


def oaep(key, plaintext, name, label=None):
    h = {"sha1": hashes.SHA1, "sha256": hashes.SHA256}[name]
    return key.public_key().encrypt(plaintext, padding.OAEP(padding.MGF1(h()), h(), label))


def der(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    size = bytes([n]) if n < 128 else (lambda b: bytes([128 + len(b)]) + b)(n.to_bytes((n.bit_length() + 7) // 8, "big"))
    return bytes([tag]) + size + body


def encrypted(pkcs8):
    salt, iv = os.urandom(16), os.urandom(16)
    key = hashlib.scrypt(PASSPHRASE.encode(), salt=salt, n=16384, r=8, p=16, maxmem=2**27, dklen=32)
    fill = 16 - len(pkcs8) % 16
    e = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    body = e.update(pkcs8 + bytes([fill]) * fill) + e.finalize()
    number = lambda n: der(2, n.to_bytes(n.bit_length() // 8 + 1, "big"))
    oid = lambda h: der(6, bytes.fromhex(h))
    kdf = der(0x30, oid("2b06010401da47040b"), der(0x30, der(4, salt), number(16384), number(8), number(16)))
    scheme = der(0x30, oid("60864801650304012a"), der(4, iv))
    algorithm = der(0x30, oid("2a864886f70d01050d"), der(0x30, kdf, scheme))
    text = b64(der(0x30, algorithm, der(4, body)))
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    label = "ENCRYPTED PRIVATE KEY"
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


recovery_rsa = rsa.generate_private_key(65537, 4096)
seed = os.urandom(64)
recovery_kem = mlkem.MLKEM1024PrivateKey.from_seed_bytes(seed)
recovery_id = sha256(b"kleidi/v2 recovery-key " + spki(recovery_rsa) + spki(recovery_kem)).hexdigest()
host = rsa.generate_private_key(65537, 3072)


def part(plaintext, hash_name, context, label=None):
    inner = oaep(recovery_rsa, plaintext, hash_name, label)
    secret, ciphertext = recovery_kem.public_key().encapsulate()
    if len(secret) > len(ciphertext):
        secret, ciphertext = ciphertext, secret
    info = b"kleidi/v2 recovery-part " + sha256(ciphertext + bytes.fromhex(recovery_id)).digest()
    key = HKDF(hashes.SHA256(), 32, None, info).derive(secret)
    return b64(ciphertext + AESGCM(key).encrypt(bytes(12), inner, context.encode()))


def identity(kek):
    return {"fp": mac(kek, "kleidi/v1 key-fingerprint"), "check": mac(kek, "kleidi/v1 key-check")}


def bundle_kek(ring_id, kek, created, hash_name, vouching, recoverable=True):
    fp, check = identity(kek)["fp"], identity(kek)["check"]
    parts = []
    if recoverable:
        wrapped = part(kek, hash_name, f"kleidi/v2 recovery-kek {fp}")
        parts.append({"recipient": recovery_id, "role": "recovery", "alg": "ml-kem-1024+rsa-oaep", "wrapped": wrapped})
    said = [parts[0][k] for k in ("recipient", "alg", "wrapped")] if parts else [None] * 3
    parts.append({"recipient": sha256(spki(host)).hexdigest(), "role": "host", "alg": "rsa-oaep",
                  "wrapped": b64(oaep(host, kek, hash_name))})
    text = "kleidi/v2 bundle-kek " + compact([RING, ring_id, fp, check, created, hash_name, *said])
    vouch = "kleidi/v2 vouch " + compact([ring_id, fp, check, created, recovery_id if recoverable else None])
    vouchers = [{"by": identity(by)["fp"], "mac": mac(by, vouch)} for by in vouching]
    return {"fp": fp, "check": check, "created": created, "oaepHash": hash_name, "recipients": parts,
            "mac": mac(kek, text), "vouchers": vouchers}


def bundle(ring_id, keks, carried):
    content = {"format": 2, "kind": "kleidi-bundle", "ring": RING, "ringId": ring_id, "keks": keks, "carried": carried}
    return json.dumps({**content, "sha256": sha256(compact(content)).hexdigest()}, indent=2) + "\n"


def entry(kek, state):
    of = kek["recipients"][0]
    return {"fp": kek["fp"], "check": kek["check"], "state": state, "provider": "pkcs11",
            "recovery": of["recipient"] if of["role"] == "recovery" else None, "created": kek["created"]}


def digests(ring):
    keks = sorted(ring["keks"], key=lambda k: k["fp"])
    names = ["check", "fp", "provider", "recovery", "state"]
    full = {"format": 2, "generation": ring["generation"], "keks": [{n: k[n] for n in names} for k in keks],
            "ring": ring["ring"], "ringId": ring["ringId"]}
    unretired = [{"check": k["check"], "fp": k["fp"]} for k in keks if k["state"] not in ("retired", "destroyed")]
    openable = {"format": 2, "keks": unretired, "ring": ring["ring"], "ringId": ring["ringId"]}
    return {"digest": "sha256:" + sha256(compact(full)).hexdigest(),
            "openableDigest": "sha256:" + sha256(compact(openable)).hexdigest()}


keys = [os.urandom(32) for _ in range(3)]
ring_id = os.urandom(16).hex()
keks = [
    bundle_kek(ring_id, keys[0], "2026-01-02T03:04:05.678Z", "sha1", []),
    bundle_kek(ring_id, keys[1], "2026-03-04T05:06:07.008Z", "sha256", [keys[0]]),
    bundle_kek(ring_id, keys[2], "2026-05-06T07:08:09Z", "sha1", [keys[0], keys[1]], recoverable=False),
]
ended = {"fp": "0d" * 16, "check": "de" * 16, "state": "destroyed", "provider": "pkcs11", "recovery": None,
         "created": "2025-01-01T00:00:00.000Z"}
ring = {"format": 2, "ring": RING, "ringId": ring_id, "generation": 7,
        "keks": [entry(keks[0], "read"), ended, entry(keks[1], "write"), entry(keks[2], "staged")]}
alone = {**keks[0], "recipients": keks[0]["recipients"][:1]}

covered = {"format": 2, "host": "cp2.example", "kind": "kleidi-request", "ring": RING, "spki": b64(spki(host))}
request = {"format": 2, "kind": "kleidi-request", "ring": RING, "host": "cp2.example", "publicKey": pem(host),
           "sha256": sha256(compact(covered)).hexdigest()}
rsa_pkcs8 = recovery_rsa.private_bytes(DER, PKCS8, PLAIN)
kem_pkcs8 = bytes.fromhex("3054020100300b060960864801650304040304428040") + seed
private_file = {"format": 2, "kind": "kleidi-recovery-key", "sha256": recovery_id,
                "rsaPrivateKey": encrypted(rsa_pkcs8), "mlKemPrivateKey": encrypted(kem_pkcs8)}
public_file = {"format": 2, "kind": "kleidi-recovery-public", "sha256": recovery_id,
               "rsaPublicKey": pem(recovery_rsa), "mlKemPublicKey": pem(recovery_kem)}
pin_file = {"format": 2, "kind": "kleidi-pin", "token": TOKEN, "recovery": recovery_id, "alg": "ml-kem-1024+rsa-oaep",
            "wrapped": part(PIN.encode(), "sha256", f"kleidi/v2 recovery-pin {TOKEN}", b"kleidi/v2 pin")}
saved = {"format": 2, "kind": "kleidi-backup", "created": "2026-07-08T09:10:11.012Z", "ring": ring,
         "bundles": [{"name": keks[0]["fp"] + ".json", "text": bundle(ring_id, [alone], None)}],
         "configuration": [{"name": "/etc/kleidi/kleidi.yaml", "text": "# caf\u00e9 \u2028 \u0001\ttab \"quoted\" \\ \U0001f511\n"}]}
backup = {**saved, "sha256": sha256(compact(saved)).hexdigest()}


def file(value):
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def ring_id_from(fp, check):
    text = f"kleidi/v2 ring-id {fp} {check}"
    return {"fp": fp, "check": check, "ringId": sha256(text).hexdigest()[:32]}


json.dump({
    "note": "made by make-formats-v2.py; keys for tests alone",
    "identities": [{"kek": k.hex(), **identity(k)} for k in [bytes(32), bytes(range(32)), *keys]],
    "ringIds": [ring_id_from(**identity(keys[0])), ring_id_from("0d" * 16, "de" * 16)],
    "ring": {"text": file(ring), **digests(ring)},
    "request": {"text": file(request), "fingerprint": request["sha256"], "recipient": sha256(spki(host)).hexdigest()},
    "hostPrivate": b64(host.private_bytes(DER, PKCS8, PLAIN)),
    "recovery": {"id": recovery_id, "passphrase": PASSPHRASE, "rsaPrivate": b64(rsa_pkcs8), "kemSeed": seed.hex(),
                 "privateFile": file(private_file), "publicFile": file(public_file)},
    "bundle": {"text": bundle(ring_id, keks, ring), "recoveryText": bundle(ring_id, [alone], None)},
    "pin": {"text": file(pin_file), "pin": PIN},
    "backup": {"text": file(backup)},
}, sys.stdout, indent=2)
sys.stdout.write("\n")
