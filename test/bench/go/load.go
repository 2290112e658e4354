package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	kms "k8s.io/kms/apis/v2"
)

type report struct {
	Calls           int     `json:"calls"`
	Failed          int     `json:"failed"`
	Seconds         float64 `json:"seconds"`
	CallsPerSecond  float64 `json:"callsPerSecond"`
	P50Us           float64 `json:"p50Us"`
	P90Us           float64 `json:"p90Us"`
	P99Us           float64 `json:"p99Us"`
	P999Us          float64 `json:"p999Us"`
	MaxUs           float64 `json:"maxUs"`
	ClientCPUSecond float64 `json:"clientCpuSeconds"`
	PluginCPUSecond float64 `json:"pluginCpuSeconds"`
	FirstError      string  `json:"firstError,omitempty"`
}

type plan struct {
	socket   string
	op       string
	callers  int
	calls    int
	rate     float64
	distinct int
	payload  int
	idle     int
	pid      int
}

// load drives a plugin over one connection and prints a report as JSON.
func load(args []string) error {
	var p plan
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	flags.StringVar(&p.socket, "socket", "", "unix socket of the plugin")
	flags.StringVar(&p.op, "op", "decrypt", "encrypt, decrypt or status")
	flags.IntVar(&p.callers, "callers", 1, "calls in flight (closed loop)")
	flags.IntVar(&p.calls, "calls", 1000, "calls in all")
	flags.Float64Var(&p.rate, "rate", 0, "calls begun each second, whether the last are back or not (open loop)")
	flags.IntVar(&p.distinct, "distinct", 1, "ciphertexts that are decrypted in turn")
	flags.IntVar(&p.payload, "payload", 32, "bytes of plaintext")
	flags.IntVar(&p.idle, "idle", 0, "connections beside it that have called Status once")
	flags.IntVar(&p.pid, "pid", 0, "process of the plugin, whose processor time is counted")
	if err := flags.Parse(args); err != nil {
		return err
	}
	done, err := p.run()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(done)
}

func dial(socket string) (*grpc.ClientConn, error) {
	return grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

func (p plan) run() (*report, error) {
	connection, err := dial(p.socket)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	client := kms.NewKeyManagementServiceClient(connection)
	call, err := p.prepare(client)
	if err != nil {
		return nil, err
	}
	for range p.idle {
		other, err := dial(p.socket)
		if err != nil {
			return nil, err
		}
		defer other.Close()
		if _, err := kms.NewKeyManagementServiceClient(other).Status(context.Background(), &kms.StatusRequest{}); err != nil {
			return nil, err
		}
	}
	plugin := cpuSecondsOf(p.pid)
	cpu, start := cpuSeconds(), time.Now()
	tally := newTally(p.calls)
	if p.rate > 0 {
		p.open(call, tally)
	} else {
		p.closed(call, tally)
	}
	seconds := time.Since(start).Seconds()
	made := tally.report(seconds, cpuSeconds()-cpu)
	made.PluginCPUSecond = cpuSecondsOf(p.pid) - plugin
	return made, nil
}

// prepare returns what one call is, by its number.
func (p plan) prepare(client kms.KeyManagementServiceClient) (func(int) error, error) {
	ctx := context.Background()
	plaintext := make([]byte, p.payload)
	encrypt := func(i int) (*kms.EncryptResponse, error) {
		return client.Encrypt(ctx, &kms.EncryptRequest{Plaintext: plaintext, Uid: fmt.Sprintf("encrypt-%d", i)})
	}
	switch p.op {
	case "status":
		return func(int) error { _, err := client.Status(ctx, &kms.StatusRequest{}); return err }, nil
	case "encrypt":
		return func(i int) error { _, err := encrypt(i); return err }, nil
	case "decrypt":
		sealed := make([]*kms.DecryptRequest, p.distinct)
		for i := range sealed {
			made, err := encrypt(i)
			if err != nil {
				return nil, err
			}
			sealed[i] = &kms.DecryptRequest{Ciphertext: made.Ciphertext, KeyId: made.KeyId, Annotations: made.Annotations, Uid: fmt.Sprintf("decrypt-%d", i)}
		}
		return func(i int) error { return opened(client.Decrypt(ctx, sealed[i%len(sealed)])) }, nil
	}
	return nil, errors.New("op is encrypt, decrypt or status")
}

func opened(_ *kms.DecryptResponse, err error) error { return err }

// closed keeps so many calls in flight: a caller begins the next when the last is back.
func (p plan) closed(call func(int) error, tally *tally) {
	var next atomic.Int64
	var callers sync.WaitGroup
	for range p.callers {
		callers.Go(func() {
			for i := next.Add(1) - 1; i < int64(p.calls); i = next.Add(1) - 1 {
				start := time.Now()
				err := call(int(i))
				tally.add(int(i), time.Since(start), err)
			}
		})
	}
	callers.Wait()
}

// open begins calls at a fixed rate. A call's time counts from when it was due, so that a
// plugin that stalls is charged for the calls that had to wait meanwhile.
func (p plan) open(call func(int) error, tally *tally) {
	var calls sync.WaitGroup
	begin := time.Now()
	for i := range p.calls {
		due := begin.Add(time.Duration(float64(i) / p.rate * float64(time.Second)))
		time.Sleep(time.Until(due))
		calls.Go(func() {
			err := call(i)
			tally.add(i, time.Since(due), err)
		})
	}
	calls.Wait()
}

func cpuSeconds() float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
}
