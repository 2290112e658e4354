// What the clients of a load saw: calls, failures, gaps, latencies, key ids.
package main

import (
	"fmt"
	"os"
	"sort"
	"sync"
	"time"

	"google.golang.org/grpc/status"
)

const textsKept = 3

type failure struct {
	RPC   string   `json:"rpc"`
	Code  string   `json:"code"`
	Count int      `json:"count"`
	First []string `json:"first"`
}

type tally struct {
	mutex     sync.Mutex
	started   time.Time
	lastGood  time.Time
	gap       time.Duration
	records   []*record
	failures  map[string]*failure
	keyIDs    map[string]int
	health    map[string]int
	calls     map[string]int
	latencies []time.Duration
	wrong     int
	ready     bool
}

// record is one client's part of the tally.
type record struct {
	tally    *tally
	lastGood time.Time
	gap      time.Duration
	good     int
}

func newTally(clients int) *tally {
	t := &tally{
		started: time.Now(), records: make([]*record, clients), failures: map[string]*failure{},
		keyIDs: map[string]int{}, health: map[string]int{}, calls: map[string]int{},
	}
	for i := range t.records {
		t.records[i] = &record{tally: t}
	}
	return t
}

func (t *tally) client(i int) *record { return t.records[i] }

// time runs one call and files it; true: it succeeded.
func (r *record) time(rpc string, call func() error) bool {
	began := time.Now()
	err := call()
	now := time.Now()
	t := r.tally
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.calls[rpc]++
	if err != nil {
		t.failed(rpc, err)
		return false
	}
	t.latencies = append(t.latencies, now.Sub(began))
	t.gap, t.lastGood = max(t.gap, since(t.lastGood, now)), now
	r.gap, r.lastGood = max(r.gap, since(r.lastGood, now)), now
	r.good++
	return true
}

func since(last, now time.Time) time.Duration {
	if last.IsZero() {
		return 0
	}
	return now.Sub(last)
}

func (t *tally) failed(rpc string, err error) {
	code := status.Code(err).String()
	seen := t.failures[rpc+code]
	if seen == nil {
		seen = &failure{RPC: rpc, Code: code}
		t.failures[rpc+code] = seen
	}
	seen.Count++
	if len(seen.First) < textsKept {
		seen.First = append(seen.First, fmt.Sprintf("%.3fs %v", time.Since(t.started).Seconds(), err))
	}
}

func (r *record) sawKeyID(id string)      { r.tally.count(r.tally.keyIDs, id) }
func (r *record) sawHealth(health string) { r.tally.count(r.tally.health, health) }

func (r *record) sawWrong() {
	r.tally.mutex.Lock()
	defer r.tally.mutex.Unlock()
	r.tally.wrong++
}

func (t *tally) count(where map[string]int, what string) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	where[what]++
}

// sayWhenAllReady tells the caller, once, that every client has had an answer.
func (t *tally) sayWhenAllReady() {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.ready {
		return
	}
	for _, r := range t.records {
		if r.good == 0 {
			return
		}
	}
	t.ready = true
	fmt.Fprintln(os.Stderr, "ready")
}

func (t *tally) report() any {
	sort.Slice(t.latencies, func(i, j int) bool { return t.latencies[i] < t.latencies[j] })
	failures := []*failure{}
	failed := 0
	for _, f := range t.failures {
		failures = append(failures, f)
		failed += f.Count
	}
	gaps := []float64{}
	for _, r := range t.records {
		gaps = append(gaps, milliseconds(r.gap))
	}
	return map[string]any{
		"seconds": time.Since(t.started).Seconds(), "calls": t.calls, "good": len(t.latencies),
		"failed": failed, "failures": failures, "wrong": t.wrong,
		"longestGapMs": milliseconds(t.gap), "clientGapsMs": gaps,
		"keyIds": t.keyIDs, "health": t.health,
		"latencyMs": map[string]float64{"p50": t.quantile(0.5), "p99": t.quantile(0.99), "max": t.quantile(1)},
	}
}

func (t *tally) quantile(q float64) float64 {
	if len(t.latencies) == 0 {
		return 0
	}
	return milliseconds(t.latencies[int(q*float64(len(t.latencies)-1))])
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
