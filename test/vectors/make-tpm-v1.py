"""Made tpm-v1.json, once: from docs/formats.md and pyca/cryptography, without kleidi's code.

    python3 test/vectors/make-tpm-v1.py > tpm-v1.json
"""
import base64
import hashlib
import hmac
import json
import os
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

DER = serialization.Encoding.DER
OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


class Kek:
    def __init__(self):
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.hmac = os.urandom(32)
        spki = self.rsa.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        text = b"kleidi/v1 key-fingerprint" + hashlib.sha256(spki).digest()
        h = self.mac(text)
        self.fp, self.check = h[:16], h[16:]

    def mac(self, text):
        return hmac.digest(self.hmac, text, "sha256")

    def named(self):
        pkcs8 = self.rsa.private_bytes(DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return {"rsa": base64.b64encode(pkcs8).decode(), "hmac": self.hmac.hex(),
                "fp": self.fp.hex(), "check": self.check.hex()}

    def seal(self, plaintext, key_id, mac=None):
        header = b"kl\x01\x03" + self.fp
        sealed = self.rsa.public_key().encrypt(plaintext, OAEP)
        said = header + len(key_id).to_bytes(2, "big") + key_id.encode() + sealed
        return (header + sealed + (mac or self.mac)(said)).hex()


def main():
    keks = [Kek(), Kek()]
    sealed = []
    for i, (ring, generation, plaintext) in enumerate(
            [("prod", 1, os.urandom(32)), ("a", 999999999999999, b"\x0b"), ("prod", 7, os.urandom(190))]):
        kek = keks[i % 2]
        key_id = f"k1.{ring}.{generation}.{kek.fp.hex()}"
        sealed.append({"kek": i % 2, "ring": ring, "keyId": key_id, "plaintext": plaintext.hex(),
                       "ciphertext": kek.seal(plaintext, key_id)})
    # By one who has the public key and may write to etcd: the MAC is not of the TPM.
    key_id = f"k1.prod.1.{keks[0].fp.hex()}"
    other = lambda said: hmac.digest(os.urandom(32), said, "sha256")
    forged = {"kek": 0, "ring": "prod", "keyId": key_id,
              "ciphertext": keks[0].seal(os.urandom(32), key_id, other)}
    json.dump({"keks": [kek.named() for kek in keks], "sealed": sealed, "forged": forged}, sys.stdout, indent=2)
    print()


main()
