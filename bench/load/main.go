// Command load calls one gRPC method many times and says what came back, in one JSON object.
//
// It speaks HTTP/2 itself, because it shares the machine with what it measures: a call costs it a few
// microseconds, where a client library takes as much as the server.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/net/http2/hpack"
)

type metadata []hpack.HeaderField

func (m *metadata) String() string { return fmt.Sprint(*m) }

func (m *metadata) Set(line string) error {
	name, value, found := strings.Cut(line, ":")
	if !found {
		return fmt.Errorf("expected 'name: value'")
	}
	*m = append(*m, hpack.HeaderField{Name: strings.ToLower(name), Value: strings.TrimSpace(value)})
	return nil
}

type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(line string) error {
	*l = strings.Split(line, ",")
	return nil
}

func main() {
	runtime.GOMAXPROCS(1)
	runtime.LockOSThread()
	debug.SetGCPercent(400)
	where, wanted, connections, streams, bodies := flags()
	if err := measure(where, wanted, connections, streams, bodies); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func flags() (where target, wanted plan, connections int, streams bool, bodies string) {
	var warmup, seconds float64
	flag.StringVar(&where.address, "address", "127.0.0.1:50051", "host:port of the server, without TLS")
	flag.StringVar(&where.method, "method", "", "/package.Service/Method")
	flag.Var((*metadata)(&where.metadata), "metadata", "'name: value' sent with every call; may be repeated")
	flag.Var((*list)(&where.accounts), "accounts", "names, separated by commas: each connection calls for the next one")
	flag.IntVar(&where.window, "window", 4<<20, "bytes of an answer that may be on their way")
	flag.IntVar(&where.maxFrame, "max-frame", defaultMaxFrame, "largest frame to be sent to us")
	flag.StringVar(&bodies, "bodies", "", "requests, each behind its length in four bytes, big endian")
	flag.IntVar(&wanted.offset, "offset", 0, "the request of that file to begin with")
	flag.BoolVar(&wanted.once, "once", false, "send each request once, then end; else again from the first")
	flag.IntVar(&wanted.inFlight, "in-flight", 1, "calls at once, over all connections")
	flag.IntVar(&connections, "connections", 1, "connections")
	flag.IntVar(&wanted.calls, "calls", 0, "end after so many calls")
	flag.Float64Var(&seconds, "seconds", 0, "end after so many seconds behind the warm-up")
	flag.Float64Var(&warmup, "warmup", 0, "seconds whose calls are not counted")
	flag.Float64Var(&wanted.rate, "rate", 0, "open loop: calls a second, at random moments")
	flag.BoolVar(&streams, "streams", false, "report each call: messages, bytes, first message, last message")
	flag.Parse()
	wanted.warmup = time.Duration(warmup * float64(time.Second))
	wanted.length = time.Duration(seconds * float64(time.Second))
	if wanted.rate > 0 && wanted.inFlight == 1 {
		wanted.inFlight = 1000 * connections
	}
	return
}

func measure(where target, wanted plan, connections int, streams bool, bodies string) (err error) {
	if wanted.length == 0 && wanted.calls == 0 && !wanted.once {
		return fmt.Errorf("one of -seconds, -calls and -once is needed")
	}
	if wanted.bodies, err = readBodies(bodies); err != nil {
		return err
	}
	r, err := newRun(where, wanted, connections)
	if err != nil {
		return err
	}
	r.tally.keepStreams = streams
	if err := r.do(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r.report())
}
