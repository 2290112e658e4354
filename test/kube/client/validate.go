// The verb validate: what kube-apiserver's own loader says of EncryptionConfigurations.
// Reads a JSON list of texts on standard input, answers with a list of reasons; an
// empty one means that the file is taken.
package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"k8s.io/apiserver/pkg/server/options/encryptionconfig"
)

func validate([]string) (any, error) {
	var texts []string
	if err := json.NewDecoder(os.Stdin).Decode(&texts); err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "kubeclient-validate-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	reasons := make([]string, len(texts))
	for i, text := range texts {
		if reasons[i], err = reasonAgainst(filepath.Join(folder, "config.yaml"), text); err != nil {
			return nil, err
		}
	}
	return reasons, nil
}

// What a start of kube-apiserver would do, up to the first call of a plugin.
func reasonAgainst(path, text string) (string, error) {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(context.Background())
	// It asks plugins for their Status and only logs what they say: nothing waits for one.
	cancel()
	if _, err := encryptionconfig.LoadEncryptionConfig(ctx, path, false, "test"); err != nil {
		return err.Error(), nil
	}
	return "", nil
}
