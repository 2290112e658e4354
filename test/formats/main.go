// A second implementation of docs/formats.md, with nothing in it that is not on that page.
// Reads one JSON object a line on stdin and answers with one a line:
//
//	{"do":"ring","text":T}                      digest, openable
//	{"do":"bundle","text":T,"keks":[HEX…]}      sha256, carried, macs, vouchers of the given KEKs
//	{"do":"request","text":T}                   fingerprint, recipient
//	{"do":"public","text":T}                    fingerprint
//	{"do":"recover","text":T,"rsa":B64,"seed":HEX}  the KEKs in a bundle that the key opens
//	{"do":"pin","text":T,"rsa":B64,"seed":HEX}  pin
//	{"do":"backup","text":T}                    sha256
//	{"do":"kek","kek":HEX}                      fp, check
//	{"do":"ringid","fp":HEX,"check":HEX}        ringId
//	{"do":"tpmkek","rsa":B64,"hmac":HEX}        fp, check
//	{"do":"tpmdecrypt","rsa":B64,"hmac":HEX,"ring":NAME,"keyId":T,"ciphertext":HEX}  plaintext
//	{"do":"decrypt","kek":HEX,"ring":NAME,"keyId":T,"ciphertext":HEX}  plaintext
//
// What is refused has "refused" with the reason, and nothing else.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

type question struct {
	Do         string   `json:"do"`
	Text       string   `json:"text"`
	Keks       []string `json:"keks"`
	Rsa        string   `json:"rsa"`
	Seed       string   `json:"seed"`
	Hmac       string   `json:"hmac"`
	Kek        string   `json:"kek"`
	Fp         string   `json:"fp"`
	Check      string   `json:"check"`
	Ring       string   `json:"ring"`
	KeyID      string   `json:"keyId"`
	Ciphertext string   `json:"ciphertext"`
}

type answer map[string]any

var doers = map[string]func(question) answer{
	"ring":       doRing,
	"bundle":     doBundle,
	"request":    doRequest,
	"public":     doPublic,
	"recover":    doRecover,
	"pin":        doPin,
	"backup":     doBackup,
	"kek":        doKek,
	"ringid":     doRingID,
	"decrypt":    doDecrypt,
	"tpmkek":     doTpmKek,
	"tpmdecrypt": doTpmDecrypt,
}

// refusal is panicked with where an input is not allowed, and caught in ask.
type refusal string

func refuse(format string, values ...any) {
	panic(refusal(fmt.Sprintf(format, values...)))
}

func ask(q question) (a answer) {
	defer func() {
		switch why := recover().(type) {
		case nil:
		case refusal:
			a = answer{"refused": string(why)}
		default:
			panic(why)
		}
	}()
	do, known := doers[q.Do]
	if !known {
		panic("no such question: " + q.Do)
	}
	return do(q)
}

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for {
		line, err := in.ReadBytes('\n')
		if len(line) == 0 {
			return
		}
		var q question
		if bad := json.Unmarshal(line, &q); bad != nil {
			panic(bad)
		}
		reply, bad := json.Marshal(ask(q))
		if bad != nil {
			panic(bad)
		}
		out.Write(append(reply, '\n'))
		if err != nil {
			return
		}
	}
}
