// Section 5: the ring file and its digests.
package main

import (
	"math"
	"slices"
)

type kekEntry struct {
	fp, check, state, provider, created string
	recovery                            any
}

type ring struct {
	name       string
	ringID     any
	generation float64
	keks       []kekEntry
}

const maxGeneration = 999999999999999

func parseRing(value any) ring {
	o := record("ring file", value, "format", "ring", "ringId", "generation", "keks")
	requireFormat(o["format"], 2)
	r := ring{name: ringName(o["ring"]), ringID: hexOrNull("ringId", o["ringId"], 32)}
	r.generation = number("generation", o["generation"])
	if r.generation < 0 || r.generation > maxGeneration || math.Trunc(r.generation) != r.generation {
		refuse("generation is not a whole number in range")
	}
	writers := 0.0
	fps := []string{}
	for _, each := range list("keks", o["keks"]) {
		kek := parseEntry(each)
		r.keks = append(r.keks, kek)
		fps = append(fps, kek.fp)
		if kek.state == "write" {
			writers++
		}
	}
	requireDistinct("fp", fps)
	if (r.ringID == nil) != (len(r.keks) == 0) {
		refuse("ringId without KEK, or KEK without ringId")
	}
	if writers != math.Min(1, r.generation) {
		refuse("wrong number of write KEKs")
	}
	return r
}

func parseEntry(value any) kekEntry {
	o := record("KEK", value, "fp", "check", "state", "provider", "recovery", "created")
	return kekEntry{
		fp:       hexText("fp", o["fp"], 32),
		check:    hexText("check", o["check"], 32),
		state:    oneOf("state", o["state"], "staged", "write", "read", "retired", "destroyed"),
		provider: oneOf("provider", o["provider"], "pkcs11", "vault", "tpm"),
		recovery: hexOrNull("recovery", o["recovery"], 64),
		created:  timeText("created", o["created"]),
	}
}

func (k kekEntry) isUnretired() bool { return k.state != "retired" && k.state != "destroyed" }

// inOrder is the ring as it stands under the sha256 of a bundle or backup.
func (r ring) inOrder() fields {
	keks := []any{}
	for _, k := range r.keks {
		keks = append(keks, fields{{"fp", k.fp}, {"check", k.check}, {"state", k.state},
			{"provider", k.provider}, {"recovery", k.recovery}, {"created", k.created}})
	}
	return fields{{"format", 2.0}, {"ring", r.name}, {"ringId", r.ringID},
		{"generation", r.generation}, {"keks", keks}}
}

func (r ring) digests() (full, openable string) {
	sorted := slices.Clone(r.keks)
	slices.SortFunc(sorted, func(a, b kekEntry) int {
		if a.fp < b.fp {
			return -1
		}
		return 1
	})
	all, open := []any{}, []any{}
	for _, k := range sorted {
		all = append(all, fields{{"check", k.check}, {"fp", k.fp}, {"provider", k.provider},
			{"recovery", k.recovery}, {"state", k.state}})
		if k.isUnretired() {
			open = append(open, fields{{"check", k.check}, {"fp", k.fp}})
		}
	}
	full = compact(fields{{"format", 2.0}, {"generation", r.generation}, {"keks", all},
		{"ring", r.name}, {"ringId", r.ringID}})
	openable = compact(fields{{"format", 2.0}, {"keks", open}, {"ring", r.name}, {"ringId", r.ringID}})
	return "sha256:" + hash([]byte(full)), "sha256:" + hash([]byte(openable))
}

func doRing(q question) answer {
	full, openable := parseRing(parseJSON(q.Text)).digests()
	return answer{"digest": full, "openable": openable}
}

func doRingID(q question) answer {
	return answer{"ringId": hash([]byte("kleidi/v2 ring-id " + q.Fp + " " + q.Check))[:32]}
}
