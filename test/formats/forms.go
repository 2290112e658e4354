// Sections 1 to 3: hex, base64, times, names, MACs.
package main

import (
	"crypto/aes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"time"
)

var (
	hexForm  = regexp.MustCompile(`\A[0-9a-f]+\z`)
	ringForm = regexp.MustCompile(`\A[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\z`)
	timeForm = regexp.MustCompile(`\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{3})?Z\z`)
)

func isHex(s string, digits int) bool {
	return len(s) == digits && hexForm.MatchString(s)
}

func hexText(what string, value any, digits int) string {
	s := text(what, value)
	if !isHex(s, digits) {
		refuse("%s is not %d hex digits", what, digits)
	}
	return s
}

func hexOrNull(what string, value any, digits int) any {
	if value == nil {
		return nil
	}
	return hexText(what, value, digits)
}

func ringName(value any) string {
	s := text("ring", value)
	if !ringForm.MatchString(s) {
		refuse("ring is not a name")
	}
	return s
}

func timeText(what string, value any) string {
	s := text(what, value)
	if !timeForm.MatchString(s) {
		refuse("%s is not a time", what)
	}
	if _, err := time.Parse("2006-01-02T15:04:05", s[:19]); err != nil {
		refuse("%s is no time: %v", what, err)
	}
	return s
}

func base64Bytes(what string, value any) []byte {
	s := text(what, value)
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || base64.StdEncoding.EncodeToString(b) != s {
		refuse("%s is not base64", what)
	}
	return b
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func hash(data ...[]byte) string {
	h := sha256.New()
	for _, each := range data {
		h.Write(each)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// cmac is AES-CMAC, RFC 4493 section 2.4.
func cmac(kek []byte, message string) string {
	block, err := aes.NewCipher(kek)
	if err != nil {
		panic(err)
	}
	l := make([]byte, 16)
	block.Encrypt(l, l)
	k1 := doubled(l)
	k2 := doubled(k1)
	n := (len(message) + 15) / 16
	if n == 0 {
		n = 1
	}
	last := make([]byte, 16)
	tail := message[16*(n-1):]
	copy(last, tail)
	subkey := k1
	if len(tail) < 16 {
		last[len(tail)] = 0x80
		subkey = k2
	}
	x := make([]byte, 16)
	for i := 0; i < n-1; i++ {
		for j := range x {
			x[j] ^= message[16*i+j]
		}
		block.Encrypt(x, x)
	}
	for j := range x {
		x[j] ^= last[j] ^ subkey[j]
	}
	block.Encrypt(x, x)
	return hex.EncodeToString(x)
}

func doubled(in []byte) []byte {
	out := make([]byte, 16)
	for i := range in {
		out[i] = in[i] << 1
		if i < 15 {
			out[i] |= in[i+1] >> 7
		}
	}
	if in[0]&0x80 != 0 {
		out[15] ^= 0x87
	}
	return out
}

func identity(kek []byte) (fp, check string) {
	return cmac(kek, "kleidi/v1 key-fingerprint"), cmac(kek, "kleidi/v1 key-check")
}

func doKek(q question) answer {
	fp, check := identity(unhex(q.Kek))
	return answer{"fp": fp, "check": check}
}
