// Sealed seeds in a file, and what a Decrypt of one sends.
package main

import (
	"encoding/json"
	"os"

	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/kms/pkg/service"
)

type sealedSeed struct {
	Plaintext   []byte            `json:"plaintext"`
	Ciphertext  []byte            `json:"ciphertext"`
	KeyID       string            `json:"keyId"`
	Annotations map[string][]byte `json:"annotations,omitempty"`
}

func (s sealedSeed) request() *service.DecryptRequest {
	return &service.DecryptRequest{Ciphertext: s.Ciphertext, KeyID: s.KeyID, Annotations: s.Annotations}
}

func readSeeds(path string) ([]sealedSeed, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var seeds []sealedSeed
	return seeds, json.Unmarshal(text, &seeds)
}

func newUID() string { return string(uuid.NewUUID()) }
