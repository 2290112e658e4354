// Sections 3, 4, 7 and 12: ciphertexts and backups.
package main

import (
	"bytes"
	"encoding/hex"
	"regexp"
	"strings"
)

var (
	hostForm       = regexp.MustCompile(`\A[A-Za-z0-9._:-]{1,253}\z`)
	bundleNameForm = regexp.MustCompile(`\A[A-Za-z0-9_-][A-Za-z0-9._-]{0,120}\.json\z`)
	keyIDForm      = regexp.MustCompile(
		`\Ak1\.([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)\.([1-9][0-9]{0,14})\.([0-9a-f]{32})\z`)
)

// doDecrypt opens a ciphertext of alg 0x01 with the bytes of the KEK.
func doDecrypt(q question) answer {
	kek, c := unhex(q.Kek), unhex(q.Ciphertext)
	fp, _ := identity(kek)
	if len(c) > 1024 || len(c) < 20 {
		refuse("the ciphertext has a wrong length")
	}
	if !bytes.Equal(c[:4], []byte{'k', 'l', 1, 1}) {
		refuse("not kleidi's, or another version or alg")
	}
	if len(c) < 20+29 {
		refuse("the body is too short")
	}
	id := keyIDForm.FindStringSubmatch(q.KeyID)
	if id == nil || id[1] != q.Ring || id[3] != hex.EncodeToString(c[4:20]) || id[3] != fp {
		refuse("the key id is not of this ring and KEK")
	}
	aad := append(append([]byte{}, c[:20]...), q.KeyID...)
	plaintext, err := gcm(kek).Open(nil, c[20:32], c[32:], aad)
	if err != nil {
		refuse("the ciphertext does not open")
	}
	return answer{"plaintext": hex.EncodeToString(plaintext)}
}

func doBackup(q question) answer {
	o := record("backup", parseJSON(q.Text),
		"format", "kind", "created", "ring", "bundles", "configuration", "sha256")
	requireFormat(o["format"], 2)
	requireKind(o["kind"], "kleidi-backup")
	created, r := timeText("created", o["created"]), parseRing(o["ring"])
	bundles := files("bundle", o["bundles"], bundleNameForm.MatchString)
	configuration := files("configuration", o["configuration"], func(name string) bool {
		return strings.HasPrefix(name, "/")
	})
	sum := hash([]byte(compact(fields{{"format", 2.0}, {"kind", "kleidi-backup"}, {"created", created},
		{"ring", r.inOrder()}, {"bundles", bundles}, {"configuration", configuration}})))
	if text("sha256", o["sha256"]) != sum {
		refuse("another sha256")
	}
	return answer{"sha256": sum}
}

func files(what string, value any, isName func(string) bool) []any {
	all := []any{}
	for _, each := range list(what, value) {
		o := record(what, each, "name", "text")
		name := text("name", o["name"])
		if !isName(name) {
			refuse("%s has a wrong name", what)
		}
		all = append(all, fields{{"name", name}, {"text", text("text", o["text"])}})
	}
	return all
}
