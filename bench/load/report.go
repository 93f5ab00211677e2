package main

import (
	"slices"
	"time"
)

// tally is what became of the calls. Statuses are of all calls, the rest of those after the warm-up.
type tally struct {
	total, refused int
	calls, empty   int
	statuses       map[string]int
	bytes          int64
	messages       int
	latencies      []time.Duration
	streams        []stream
	keepStreams    bool
}

// stream is one answer of a streaming RPC. `Second` is the first message behind an export's header.
type stream struct {
	Status   string  `json:"status"`
	Seconds  float64 `json:"seconds"`
	Messages int     `json:"messages"`
	Bytes    int64   `json:"bytes"`
	First    float64 `json:"first_ms"`
	Second   float64 `json:"second_ms"`
	Last     []byte  `json:"last_message"`
}

func (t *tally) check(done *call) {
	if t.statuses == nil {
		t.statuses = map[string]int{}
	}
	t.total++
	t.statuses[done.status]++
	if done.status == "0" && done.message.bytes == 0 {
		t.empty++
	}
}

func (t *tally) add(done *call, now time.Time) {
	t.calls++
	t.bytes += done.message.bytes
	t.messages += done.message.messages
	t.latencies = append(t.latencies, now.Sub(done.due))
	if t.keepStreams {
		t.streams = append(t.streams, stream{
			Status: done.status, Seconds: now.Sub(done.due).Seconds(), Messages: done.message.messages,
			Bytes: done.message.bytes, First: milliseconds(done.message.first),
			Second: milliseconds(done.message.second), Last: done.message.last,
		})
	}
}

type latency struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// report is the one JSON object that is printed. `Total` counts the warm-up, too.
type report struct {
	Calls      int            `json:"calls"`
	Total      int            `json:"total_calls"`
	Refused    int            `json:"refused"`
	Seconds    float64        `json:"seconds"`
	PerSecond  float64        `json:"per_second"`
	Statuses   map[string]int `json:"statuses"`
	Empty      int            `json:"empty"`
	Latency    latency        `json:"latency_ms"`
	CPUSeconds float64        `json:"cpu_seconds"`
	Messages   int            `json:"messages"`
	Bytes      int64          `json:"bytes"`
	Streams    []stream       `json:"streams,omitempty"`
}

func (r *run) report() report {
	t := &r.tally
	seconds := r.last.Sub(r.from).Seconds()
	if r.plan.length > 0 && !r.enough() {
		seconds = r.plan.length.Seconds()
	}
	made := report{
		Calls: t.calls, Total: t.total, Refused: t.refused, Seconds: seconds, Statuses: t.statuses,
		Empty: t.empty, Latency: percentiles(t.latencies), CPUSeconds: (cpu() - r.cpuFrom).Seconds(),
		Messages: t.messages, Bytes: t.bytes, Streams: t.streams,
	}
	if seconds > 0 {
		made.PerSecond = float64(t.calls) / seconds
	}
	return made
}

func percentiles(latencies []time.Duration) latency {
	if len(latencies) == 0 {
		return latency{}
	}
	slices.Sort(latencies)
	at := func(share float64) float64 {
		return milliseconds(latencies[min(len(latencies)-1, int(share*float64(len(latencies))))])
	}
	return latency{at(0.5), at(0.9), at(0.99), at(1)}
}

func milliseconds(length time.Duration) float64 { return float64(length) / float64(time.Millisecond) }
