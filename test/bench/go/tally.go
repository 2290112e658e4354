package main

import (
	"slices"
	"sync/atomic"
	"time"
)

// tally has the time of each call, by its number: callers share no lock.
type tally struct {
	times      []time.Duration
	failed     atomic.Int64
	firstError atomic.Pointer[string]
}

func newTally(calls int) *tally { return &tally{times: make([]time.Duration, calls)} }

func (t *tally) add(i int, took time.Duration, err error) {
	t.times[i] = took
	if err != nil {
		t.failed.Add(1)
		text := err.Error()
		t.firstError.CompareAndSwap(nil, &text)
	}
}

func (t *tally) report(seconds, cpuSeconds float64) *report {
	slices.Sort(t.times)
	at := func(part float64) float64 {
		i := min(int(part*float64(len(t.times))), len(t.times)-1)
		return float64(t.times[i].Nanoseconds()) / 1_000
	}
	made := &report{
		Calls: len(t.times), Failed: int(t.failed.Load()), Seconds: seconds,
		CallsPerSecond: float64(len(t.times)) / seconds,
		P50Us:          at(0.5), P90Us: at(0.9), P99Us: at(0.99), P999Us: at(0.999), MaxUs: at(1),
		ClientCPUSecond: cpuSeconds,
	}
	if text := t.firstError.Load(); text != nil {
		made.FirstError = *text
	}
	return made
}
