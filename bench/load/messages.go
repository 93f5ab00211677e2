package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"
)

// What may be the last message of a stream that is kept whole: an export's summary has a few hundred bytes.
const keptMessage = 64 << 10

// messageReader counts the length-prefixed messages of one answer and keeps the last one, if it is small.
type messageReader struct {
	prefix        [5]byte
	prefixTaken   int
	left          int
	messages      int
	bytes         int64
	first, second time.Duration
	last          []byte
	keepLast      bool
}

func (r *messageReader) take(content []byte, since time.Time) {
	for len(content) > 0 {
		if r.prefixTaken < len(r.prefix) {
			n := copy(r.prefix[r.prefixTaken:], content)
			r.prefixTaken += n
			content = content[n:]
			if r.prefixTaken < len(r.prefix) {
				return
			}
			r.left = int(binary.BigEndian.Uint32(r.prefix[1:]))
			r.last, r.keepLast = r.last[:0], r.left <= keptMessage
		}
		n := min(r.left, len(content))
		if r.keepLast {
			r.last = append(r.last, content[:n]...)
		}
		r.bytes += int64(n)
		r.left -= n
		content = content[n:]
		if r.left == 0 {
			r.prefixTaken = 0
			r.count(since)
		}
	}
}

func (r *messageReader) count(since time.Time) {
	switch r.messages++; r.messages {
	case 1:
		r.first = time.Since(since)
	case 2:
		r.second = time.Since(since)
	}
}

// readBodies returns the requests of a file of messages, each behind its length (four bytes, big endian),
// ready to be sent: with the gRPC prefix before each.
func readBodies(path string) ([][]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var bodies [][]byte
	for len(content) > 0 {
		if len(content) < 4 {
			return nil, fmt.Errorf("%s ends within a length", path)
		}
		size := int(binary.BigEndian.Uint32(content))
		if len(content) < 4+size {
			return nil, fmt.Errorf("%s ends within a message", path)
		}
		body := append([]byte{0}, content[:4+size]...)
		bodies = append(bodies, body)
		content = content[4+size:]
	}
	if len(bodies) == 0 {
		return nil, fmt.Errorf("%s holds no message", path)
	}
	return bodies, nil
}
