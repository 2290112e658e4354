package main

import (
	"context"
	"flag"
	"net"
	"os"

	"google.golang.org/grpc"
	kms "k8s.io/kms/apis/v2"
)

const annotation = "v2.kmsbench.example"

type plugin struct {
	kms.UnimplementedKeyManagementServiceServer
	token *token
	keyID string
}

// serve answers on a unix socket with the key of a token. The PIN is in the variable PIN.
func serve(args []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	socket := flags.String("socket", "", "unix socket to serve at")
	module := flags.String("module", "", "PKCS#11 module")
	label := flags.String("token", "kmsbench", "label of the token")
	key := flags.String("key", "kmsbench", "label of the key, and key id")
	if err := flags.Parse(args); err != nil {
		return err
	}
	token, err := openToken(*module, *label, os.Getenv("PIN"), *key)
	if err != nil {
		return err
	}
	listener, err := net.Listen("unix", *socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	kms.RegisterKeyManagementServiceServer(server, &plugin{token: token, keyID: *key})
	return server.Serve(listener)
}

func (p *plugin) Status(context.Context, *kms.StatusRequest) (*kms.StatusResponse, error) {
	return &kms.StatusResponse{Version: "v2", Healthz: "ok", KeyId: p.keyID}, nil
}

func (p *plugin) Encrypt(_ context.Context, request *kms.EncryptRequest) (*kms.EncryptResponse, error) {
	sealed, err := p.token.seal(request.Plaintext)
	if err != nil {
		return nil, err
	}
	annotations := map[string][]byte{annotation: []byte("1")}
	return &kms.EncryptResponse{Ciphertext: sealed, KeyId: p.keyID, Annotations: annotations}, nil
}

func (p *plugin) Decrypt(_ context.Context, request *kms.DecryptRequest) (*kms.DecryptResponse, error) {
	plaintext, err := p.token.open(request.Ciphertext)
	return &kms.DecryptResponse{Plaintext: plaintext}, err
}
