// Section 8: bundles, MAC texts, vouchers.
package main

type part struct {
	recipient, role, alg, wrapped string
	bytes                         []byte
}

type voucher struct{ by, mac string }

type bundleKek struct {
	fp, check, created, oaepHash, mac string
	parts                             []part
	vouchers                          []voucher
}

type bundle struct {
	ring, ringID, sha256 string
	keks                 []bundleKek
	carried              *ring
}

func parseBundle(value any) bundle {
	o := record("bundle", value, "format", "kind", "ring", "ringId", "keks", "carried", "sha256")
	requireFormat(o["format"], 2)
	requireKind(o["kind"], "kleidi-bundle")
	b := bundle{ring: ringName(o["ring"]), ringID: hexText("ringId", o["ringId"], 32)}
	fps := []string{}
	for _, each := range list("keks", o["keks"]) {
		kek := parseBundleKek(each)
		b.keks = append(b.keks, kek)
		fps = append(fps, kek.fp)
	}
	if len(fps) == 0 {
		refuse("no KEK")
	}
	requireDistinct("fp", fps)
	if o["carried"] != nil {
		b.takeCarried(parseRing(o["carried"]))
	}
	b.sha256 = hash([]byte(compact(b.inOrder())))
	if text("sha256", o["sha256"]) != b.sha256 {
		refuse("another sha256")
	}
	return b
}

func parseBundleKek(value any) bundleKek {
	o := record("KEK", value, "fp", "check", "created", "oaepHash", "recipients", "mac", "vouchers")
	k := bundleKek{
		fp:       hexText("fp", o["fp"], 32),
		check:    hexText("check", o["check"], 32),
		created:  timeText("created", o["created"]),
		oaepHash: oneOf("oaepHash", o["oaepHash"], "sha1", "sha256"),
		mac:      hexText("mac", o["mac"], 32),
	}
	recipients, bys, recoveries := []string{}, []string{}, 0
	for _, each := range list("recipients", o["recipients"]) {
		p := parsePart(each)
		k.parts = append(k.parts, p)
		recipients = append(recipients, p.recipient)
		if p.role == "recovery" {
			recoveries++
		}
	}
	for _, each := range list("vouchers", o["vouchers"]) {
		v := record("voucher", each, "by", "mac")
		k.vouchers = append(k.vouchers, voucher{hexText("by", v["by"], 32), hexText("mac", v["mac"], 32)})
		bys = append(bys, text("by", v["by"]))
	}
	requireDistinct("recipient", recipients)
	requireDistinct("by", bys)
	if recoveries > 1 {
		refuse("two recovery parts")
	}
	return k
}

func parsePart(value any) part {
	o := record("part", value, "recipient", "role", "alg", "wrapped")
	p := part{
		recipient: hexText("recipient", o["recipient"], 64),
		role:      oneOf("role", o["role"], "host", "recovery"),
		bytes:     base64Bytes("wrapped", o["wrapped"]),
	}
	alg, outer := "rsa-oaep", 0
	if p.role == "recovery" {
		alg, outer = recoveryAlg, outerBytes
	}
	p.alg = oneOf("alg", o["alg"], alg)
	p.wrapped = text("wrapped", o["wrapped"])
	if n := len(p.bytes) - outer; n < 384 || n > 1024 {
		refuse("wrapped has a wrong length")
	}
	return p
}

func (b *bundle) takeCarried(r ring) {
	if r.name != b.ring || r.ringID != any(b.ringID) {
		refuse("carried is another ring")
	}
	entries := map[string]kekEntry{}
	for _, entry := range r.keks {
		entries[entry.fp] = entry
	}
	for _, k := range b.keks {
		e, has := entries[k.fp]
		if !has || e.check != k.check || e.created != k.created || e.provider != "pkcs11" ||
			!e.isUnretired() || e.recovery != k.recovery() {
			refuse("KEK %s is not in carried as it is in the bundle", k.fp)
		}
	}
	b.carried = &r
}

// recovery is the recipient of the recovery part, or nil.
func (k bundleKek) recovery() any {
	if p := k.recoveryPart(); p != nil {
		return p.recipient
	}
	return nil
}

func (k bundleKek) recoveryPart() *part {
	for _, p := range k.parts {
		if p.role == "recovery" {
			return &p
		}
	}
	return nil
}

func (b bundle) inOrder() fields {
	keks := []any{}
	for _, k := range b.keks {
		parts, vouchers := []any{}, []any{}
		for _, p := range k.parts {
			parts = append(parts, fields{{"recipient", p.recipient}, {"role", p.role}, {"alg", p.alg},
				{"wrapped", p.wrapped}})
		}
		for _, v := range k.vouchers {
			vouchers = append(vouchers, fields{{"by", v.by}, {"mac", v.mac}})
		}
		keks = append(keks, fields{{"fp", k.fp}, {"check", k.check}, {"created", k.created},
			{"oaepHash", k.oaepHash}, {"recipients", parts}, {"mac", k.mac}, {"vouchers", vouchers}})
	}
	var carried any
	if b.carried != nil {
		carried = b.carried.inOrder()
	}
	return fields{{"format", 2.0}, {"kind", "kleidi-bundle"}, {"ring", b.ring}, {"ringId", b.ringID},
		{"keks", keks}, {"carried", carried}}
}

func (b bundle) macText(k bundleKek) string {
	var recipient, alg, wrapped any
	if p := k.recoveryPart(); p != nil {
		recipient, alg, wrapped = p.recipient, p.alg, p.wrapped
	}
	said := []any{b.ring, b.ringID, k.fp, k.check, k.created, k.oaepHash, recipient, alg, wrapped}
	return "kleidi/v2 bundle-kek " + compact(said)
}

func (b bundle) vouchText(k bundleKek) string {
	return "kleidi/v2 vouch " + compact([]any{b.ringID, k.fp, k.check, k.created, k.recovery()})
}

// doBundle says of each KEK whose bytes are given whether its mac and the vouchers by it are right.
func doBundle(q question) answer {
	b := parseBundle(parseJSON(q.Text))
	known := map[string][]byte{}
	for _, each := range q.Keks {
		kek := unhex(each)
		fp, _ := identity(kek)
		known[fp] = kek
	}
	macs, vouchers := []bool{}, []bool{}
	for _, k := range b.keks {
		if kek, has := known[k.fp]; has {
			_, check := identity(kek)
			macs = append(macs, check == k.check && cmac(kek, b.macText(k)) == k.mac)
		}
		for _, v := range k.vouchers {
			if kek, has := known[v.by]; has {
				vouchers = append(vouchers, cmac(kek, b.vouchText(k)) == v.mac)
			}
		}
	}
	a := answer{"sha256": b.sha256, "macs": macs, "vouchers": vouchers, "carried": nil}
	if b.carried != nil {
		a["carried"], _ = b.carried.digests()
	}
	return a
}
