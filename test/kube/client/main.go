// kubeclient talks to a KMS v2 plugin with kube-apiserver's own code, taken from
// k8s.io/apiserver as a library. Every verb prints one JSON object on stdout.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"k8s.io/klog/v2"
)

var verbs = map[string]func([]string) (any, error){
	"load":     load,
	"validate": validate,
}

func main() {
	quiet()
	if len(os.Args) < 2 || verbs[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "kubeclient: no such verb")
		os.Exit(2)
	}
	result, err := verbs[os.Args[1]](os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubeclient:", err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		os.Exit(1)
	}
}

// quiet keeps kube-apiserver's own log lines out, unless KUBECLIENT_LOG is set.
func quiet() {
	klog.InitFlags(flag.CommandLine)
	if os.Getenv("KUBECLIENT_LOG") != "" {
		return
	}
	_ = flag.Set("logtostderr", "false")
	klog.SetOutput(io.Discard)
}
