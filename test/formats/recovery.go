// Sections 6, 9, 10 and 11: public keys, the recovery key and what is wrapped for it.
package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/mlkem"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	stdhash "hash"
)

const (
	recoveryAlg = "ml-kem-1024+rsa-oaep"
	outerBytes  = mlkem.CiphertextSize1024 + 16
)

var mlKemOid = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 4, 3}

type spki struct {
	Algorithm struct{ Algorithm asn1.ObjectIdentifier }
	Key       asn1.BitString
}

type recoveryKey struct {
	rsa *rsa.PrivateKey
	kem *mlkem.DecapsulationKey1024
	id  string
}

func mlKemSpki(key []byte) []byte {
	s := spki{Key: asn1.BitString{Bytes: key, BitLength: 8 * len(key)}}
	s.Algorithm.Algorithm = mlKemOid
	der, err := asn1.Marshal(s)
	if err != nil {
		panic(err)
	}
	return der
}

func recoveryID(rsaSpki, kemSpki []byte) string {
	return hash([]byte("kleidi/v2 recovery-key "), rsaSpki, kemSpki)
}

// rsaPrivate is PKCS#8 in base64.
func rsaPrivate(text string) *rsa.PrivateKey {
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		panic(err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		panic(err)
	}
	return parsed.(*rsa.PrivateKey)
}

func openKey(q question) recoveryKey {
	kem, err := mlkem.NewDecapsulationKey1024(unhex(q.Seed))
	if err != nil {
		panic(err)
	}
	k := recoveryKey{rsa: rsaPrivate(q.Rsa), kem: kem}
	rsaSpki, err := x509.MarshalPKIXPublicKey(&k.rsa.PublicKey)
	if err != nil {
		panic(err)
	}
	k.id = recoveryID(rsaSpki, mlKemSpki(kem.EncapsulationKey().Bytes()))
	return k
}

func (k recoveryKey) open(sealed []byte, context, oaepHash string, label []byte) []byte {
	if len(sealed) <= outerBytes {
		refuse("too short for a recovery part")
	}
	ciphertext := sealed[:mlkem.CiphertextSize1024]
	secret, err := k.kem.Decapsulate(ciphertext)
	if err != nil {
		refuse("ML-KEM: %v", err)
	}
	bound := sha256.Sum256(append(append([]byte{}, ciphertext...), unhex(k.id)...))
	key, err := hkdf.Key(sha256.New, secret, nil, "kleidi/v2 recovery-part "+string(bound[:]), 32)
	if err != nil {
		panic(err)
	}
	inner, err := gcm(key).Open(nil, make([]byte, 12), sealed[mlkem.CiphertextSize1024:], []byte(context))
	if err != nil {
		refuse("the outer layer does not open")
	}
	var h stdhash.Hash = sha256.New()
	if oaepHash == "sha1" {
		h = sha1.New()
	}
	plaintext, err := rsa.DecryptOAEP(h, nil, k.rsa, inner, label)
	if err != nil {
		refuse("the inner layer does not open")
	}
	return plaintext
}

func gcm(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

// doRecover opens every part for this key, and refuses what section 10 says.
func doRecover(q question) answer {
	k, b := openKey(q), parseBundle(parseJSON(q.Text))
	keks := map[string]string{}
	for _, kek := range b.keks {
		p := kek.recoveryPart()
		if p == nil {
			continue
		}
		if p.recipient != k.id {
			refuse("a part is for another recovery key")
		}
		material := k.open(p.bytes, "kleidi/v2 recovery-kek "+kek.fp, kek.oaepHash, nil)
		if len(material) != 32 {
			refuse("a KEK has not 32 bytes")
		}
		fp, check := identity(material)
		if fp != kek.fp || check != kek.check || cmac(material, b.macText(kek)) != kek.mac {
			refuse("the bundle lies about KEK %s", kek.fp)
		}
		for _, other := range b.keks {
			for _, v := range other.vouchers {
				if v.by == fp && v.mac != cmac(material, b.vouchText(other)) {
					refuse("a voucher by %s is false", fp)
				}
			}
		}
		keks[fp] = hex.EncodeToString(material)
	}
	return answer{"keks": keks, "id": k.id}
}

func doPin(q question) answer {
	k := openKey(q)
	o := record("PIN", parseJSON(q.Text), "format", "kind", "token", "recovery", "alg", "wrapped")
	requireFormat(o["format"], 2)
	requireKind(o["kind"], "kleidi-pin")
	oneOf("alg", o["alg"], recoveryAlg)
	if text("recovery", o["recovery"]) != k.id {
		refuse("wrapped for another recovery key")
	}
	context := "kleidi/v2 recovery-pin " + text("token", o["token"])
	sealed := base64Bytes("wrapped", o["wrapped"])
	return answer{"pin": string(k.open(sealed, context, "sha256", []byte("kleidi/v2 pin")))}
}

func pemBytes(what string, value any) []byte {
	s := text(what, value)
	block, _ := pem.Decode([]byte(s))
	if block == nil || block.Type != "PUBLIC KEY" || string(pem.EncodeToMemory(block)) != s {
		refuse("%s is not the PEM of a public key", what)
	}
	return block.Bytes
}

func rsaSpki(what string, value any) []byte {
	der := pemBytes(what, value)
	parsed, err := x509.ParsePKIXPublicKey(der)
	key, is := parsed.(*rsa.PublicKey)
	if err != nil || !is {
		refuse("%s is not an RSA key", what)
	}
	if again, err := x509.MarshalPKIXPublicKey(key); err != nil || !bytes.Equal(again, der) {
		refuse("%s is not DER", what)
	}
	if n := key.N.BitLen(); n < 3072 || n > 8192 || key.E < 65537 || key.E%2 == 0 {
		refuse("%s is an RSA key that is not allowed", what)
	}
	return der
}

func doRequest(q question) answer {
	o := record("request", parseJSON(q.Text), "format", "kind", "ring", "host", "publicKey", "sha256")
	requireFormat(o["format"], 2)
	requireKind(o["kind"], "kleidi-request")
	host := text("host", o["host"])
	if !hostForm.MatchString(host) {
		refuse("host is not a name")
	}
	der := rsaSpki("publicKey", o["publicKey"])
	fingerprint := hash([]byte(compact(fields{{"format", 2.0}, {"host", host}, {"kind", "kleidi-request"},
		{"ring", ringName(o["ring"])}, {"spki", base64.StdEncoding.EncodeToString(der)}})))
	if text("sha256", o["sha256"]) != fingerprint {
		refuse("another sha256")
	}
	return answer{"fingerprint": fingerprint, "recipient": hash(der)}
}

func doPublic(q question) answer {
	o := record("recovery key", parseJSON(q.Text), "format", "kind", "sha256", "rsaPublicKey", "mlKemPublicKey")
	requireFormat(o["format"], 2)
	requireKind(o["kind"], "kleidi-recovery-public")
	kem := pemBytes("mlKemPublicKey", o["mlKemPublicKey"])
	var s spki
	rest, err := asn1.Unmarshal(kem, &s)
	if err != nil || len(rest) > 0 || !s.Algorithm.Algorithm.Equal(mlKemOid) {
		refuse("mlKemPublicKey is not an ML-KEM-1024 key")
	}
	if _, err := mlkem.NewEncapsulationKey1024(s.Key.Bytes); err != nil {
		refuse("mlKemPublicKey: %v", err)
	}
	id := recoveryID(rsaSpki("rsaPublicKey", o["rsaPublicKey"]), kem)
	if text("sha256", o["sha256"]) != id {
		refuse("another sha256")
	}
	return answer{"fingerprint": id}
}
