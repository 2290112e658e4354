// The verb load: N clients with a connection each, as N API servers, that seal,
// open and ask Status in a loop until a signal or for --seconds.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	"k8s.io/kms/pkg/service"
)

// The timeout of a call where EncryptionConfiguration names none.
const callTimeout = 3 * time.Second

type loadOptions struct {
	socket  string
	clients int
	seconds int
	pause   time.Duration
	seeds   []sealedSeed
}

func loadFlags(args []string) (loadOptions, error) {
	var options loadOptions
	var seedFile string
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.StringVar(&options.socket, "socket", "", "path of the plugin's socket")
	flags.IntVar(&options.clients, "clients", 8, "connections")
	flags.IntVar(&options.seconds, "seconds", 0, "how long; 0: until SIGTERM or SIGINT")
	flags.DurationVar(&options.pause, "pause", 0, "between two rounds of a client")
	flags.StringVar(&seedFile, "seeds", "", "sealed seeds to open as well, as `seal` prints them")
	if err := flags.Parse(args); err != nil {
		return options, err
	}
	if seedFile == "" {
		return options, nil
	}
	seeds, err := readSeeds(seedFile)
	options.seeds = seeds
	return options, err
}

func load(args []string) (any, error) {
	options, err := loadFlags(args)
	if err != nil {
		return nil, err
	}
	stop := untilSignal(options.seconds)
	tally := newTally(options.clients)
	var clients sync.WaitGroup
	for i := range options.clients {
		dialed, err := dial(options.socket)
		if err != nil {
			return nil, err
		}
		clients.Add(1)
		go func() {
			defer clients.Done()
			client := loadClient{service: dialed, record: tally.client(i), options: options}
			for round := 0; stop.Err() == nil; round++ {
				client.round(round)
				tally.sayWhenAllReady()
				time.Sleep(options.pause)
			}
		}()
	}
	clients.Wait()
	return tally.report(), nil
}

// dial makes the service that kube-apiserver makes for a kms entry.
func dial(socket string) (service.Service, error) {
	return kmsv2.NewGRPCService(context.Background(), "unix://"+socket, "kleidi", callTimeout)
}

// untilSignal ends the load between two rounds: no call is cancelled by the end.
func untilSignal(seconds int) context.Context {
	stop, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	if seconds > 0 {
		stop, _ = context.WithTimeout(stop, time.Duration(seconds)*time.Second) //nolint:govet
	}
	return stop
}

type loadClient struct {
	service service.Service
	record  *record
	options loadOptions
}

func (c *loadClient) round(round int) {
	ctx := context.Background()
	seed := make([]byte, 32)
	_, _ = rand.Read(seed)
	var sealed *service.EncryptResponse
	ok := c.record.time("Encrypt", func() (err error) {
		sealed, err = c.service.Encrypt(ctx, newUID(), seed)
		return err
	})
	if ok {
		c.record.sawKeyID(sealed.KeyID)
		c.open(sealedSeed{seed, sealed.Ciphertext, sealed.KeyID, sealed.Annotations})
	}
	if n := len(c.options.seeds); n > 0 {
		c.open(c.options.seeds[round%n])
	}
	c.record.time("Status", func() error {
		status, err := c.service.Status(ctx)
		if err == nil {
			c.record.sawHealth(fmt.Sprint(status.Version, " ", status.Healthz))
		}
		return err
	})
}

func (c *loadClient) open(sealed sealedSeed) {
	c.record.time("Decrypt", func() error {
		opened, err := c.service.Decrypt(context.Background(), newUID(), sealed.request())
		if err == nil && !bytes.Equal(opened, sealed.Plaintext) {
			c.record.sawWrong()
		}
		return err
	})
}
