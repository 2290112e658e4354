// Sections 2 and 4, alg 0x03: an RSA key and an HMAC key, which a TPM keeps.
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
)

const rsaBytes = 256

type tpmKek struct {
	private *rsa.PrivateKey
	hmac    []byte
}

func tpmKekOf(q question) tpmKek {
	return tpmKek{rsaPrivate(q.Rsa), unhex(q.Hmac)}
}

func (k tpmKek) mac(parts ...[]byte) []byte {
	h := hmac.New(sha256.New, k.hmac)
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(nil)
}

func (k tpmKek) identity() (fp, check string) {
	spki, err := x509.MarshalPKIXPublicKey(&k.private.PublicKey)
	if err != nil {
		panic(err)
	}
	digest := sha256.Sum256(spki)
	both := k.mac([]byte("kleidi/v1 key-fingerprint"), digest[:])
	return hex.EncodeToString(both[:16]), hex.EncodeToString(both[16:])
}

func doTpmKek(q question) answer {
	fp, check := tpmKekOf(q).identity()
	return answer{"fp": fp, "check": check}
}

// doTpmDecrypt opens a ciphertext of alg 0x03 with the bytes of both keys.
func doTpmDecrypt(q question) answer {
	kek, c := tpmKekOf(q), unhex(q.Ciphertext)
	fp, _ := kek.identity()
	if len(c) < 20 || !bytes.Equal(c[:4], []byte{'k', 'l', 1, 3}) {
		refuse("not kleidi's, or another version or alg")
	}
	if len(c) != 20+rsaBytes+sha256.Size {
		refuse("the body has a wrong length")
	}
	id := keyIDForm.FindStringSubmatch(q.KeyID)
	if id == nil || id[1] != q.Ring || id[3] != hex.EncodeToString(c[4:20]) || id[3] != fp {
		refuse("the key id is not of this ring and KEK")
	}
	header, sealed, mac := c[:20], c[20:20+rsaBytes], c[20+rsaBytes:]
	length := binary.BigEndian.AppendUint16(nil, uint16(len(q.KeyID)))
	if !hmac.Equal(mac, kek.mac(header, length, []byte(q.KeyID), sealed)) {
		refuse("the MAC is another one")
	}
	plaintext, err := rsa.DecryptOAEP(sha256.New(), nil, kek.private, sealed, nil)
	if err != nil {
		refuse("the ciphertext does not open")
	}
	return answer{"plaintext": hex.EncodeToString(plaintext)}
}
