package main

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"golang.org/x/net/http2/hpack"
)

// call is one gRPC call from its start to its trailers.
type call struct {
	due     time.Time // when it should have started: latencies count from here
	unsent  []byte
	window  int // what may still be sent
	taken   int // received since the last WINDOW_UPDATE
	message messageReader
	status  string
}

// ended is told of every call that is over; it may start the next one on the same connection.
type ended func(c *connection, done *call)

// connection is what one HTTP/2 connection knows: bytes come in by `take`, bytes for the server gather in `out`.
type connection struct {
	target  target
	onEnd   ended
	decoder *hpack.Decoder
	headers *headerBlocks

	out        []byte
	greeted    bool // the server's settings are known
	refusing   bool // after GOAWAY, or at the end of the connection
	calls      map[uint32]*call
	waiting    []uint32 // streams whose request did not fit into a window
	nextStream uint32
	window     int
	taken      int
	limit      int // streams at once, as the server allows
	peerWindow int
	peerFrame  int
	block      []byte // of a header that goes on in CONTINUATION
	lastBlock  bool   // that header ends its stream
	current    *call  // whose header the decoder reads
}

// target says what is called, and with which windows the answers are received.
type target struct {
	address, method string
	metadata        []hpack.HeaderField
	accounts        []string // x-account-id of one connection after the other
	window          int
	maxFrame        int
}

// of is the target as the connection of this number calls it.
func (t target) of(number int) target {
	if len(t.accounts) > 0 {
		account := hpack.HeaderField{Name: "x-account-id", Value: t.accounts[number%len(t.accounts)]}
		t.metadata = append(slices.Clone(t.metadata), account)
	}
	return t
}

func newConnection(where target, onEnd ended) *connection {
	c := &connection{
		target: where, onEnd: onEnd, headers: newHeaderBlocks(where), calls: map[uint32]*call{}, nextStream: 1,
		window: defaultWindow, limit: 1 << 30, peerWindow: defaultWindow, peerFrame: defaultMaxFrame,
	}
	c.decoder = hpack.NewDecoder(4096, c.field)
	c.out = append(c.out, preface...)
	var settings []byte
	settings = appendSetting(settings, settingEnablePush, 0)
	settings = appendSetting(settings, settingInitialWindowSize, where.window)
	settings = appendSetting(settings, settingMaxFrameSize, where.maxFrame)
	c.out = appendFrame(c.out, frameSettings, 0, 0, settings)
	c.out = appendWindowUpdate(c.out, 0, where.window)
	return c
}

// start sends a call. False when the server refuses more calls on this connection.
func (c *connection) start(message []byte, due time.Time) bool {
	if c.refusing {
		return false
	}
	id := c.nextStream
	c.nextStream += 2
	started := &call{due: due, window: c.peerWindow, unsent: message}
	c.calls[id] = started
	block := c.headers.next()
	c.out = appendFrame(c.out, frameHeaders, flagEndHeaders, id, block)
	if !c.send(id, started) {
		c.waiting = append(c.waiting, id)
	}
	return true
}

// send writes what the windows allow and says whether that was all.
func (c *connection) send(id uint32, sending *call) bool {
	for {
		size := min(len(sending.unsent), c.peerFrame, c.window, sending.window)
		if size <= 0 {
			return len(sending.unsent) == 0
		}
		flags := byte(0)
		if size == len(sending.unsent) {
			flags = flagEndStream
		}
		c.out = appendFrame(c.out, frameData, flags, id, sending.unsent[:size])
		sending.unsent = sending.unsent[size:]
		c.window -= size
		sending.window -= size
	}
}

func (c *connection) sendWaiting() {
	still := c.waiting[:0]
	for _, id := range c.waiting {
		if waiting, alive := c.calls[id]; alive && !c.send(id, waiting) {
			still = append(still, id)
		}
	}
	c.waiting = still
}

// takeAll takes the whole frames of what came in and returns how many bytes those were.
func (c *connection) takeAll(received []byte) int {
	used := 0
	for {
		f, size := firstFrame(received[used:])
		if size == 0 {
			return used
		}
		c.take(f)
		used += size
	}
}

func (c *connection) take(f frame) {
	switch f.kind {
	case frameData:
		c.takeContent(f)
	case frameHeaders, frameContinuation:
		c.takeHeaders(f)
	case frameSettings:
		c.takeSettings(f)
	case frameWindowUpdate:
		c.takeWindow(f)
	case framePing:
		if !f.has(flagAck) {
			c.out = appendFrame(c.out, framePing, flagAck, 0, f.payload)
		}
	case frameResetStream:
		c.finish(f.stream, fmt.Sprintf("reset %d", binary.BigEndian.Uint32(f.payload)))
	case frameGoAway:
		c.takeGoAway(binary.BigEndian.Uint32(f.payload) & 0x7fffffff)
	}
}

func (c *connection) takeContent(f frame) {
	if c.taken += len(f.payload); c.taken >= c.target.window/4 {
		c.out = appendWindowUpdate(c.out, 0, c.taken)
		c.taken = 0
	}
	receiving, alive := c.calls[f.stream]
	if !alive {
		return
	}
	receiving.message.take(f.content(), receiving.due)
	if f.has(flagEndStream) {
		c.finish(f.stream, "no trailers")
		return
	}
	if receiving.taken += len(f.payload); receiving.taken >= c.target.window/4 {
		c.out = appendWindowUpdate(c.out, f.stream, receiving.taken)
		receiving.taken = 0
	}
}

func (c *connection) takeHeaders(f frame) {
	if f.kind == frameHeaders {
		c.lastBlock = f.has(flagEndStream)
	}
	c.block = append(c.block, f.content()...)
	if !f.has(flagEndHeaders) {
		return
	}
	receiving := c.calls[f.stream]
	c.current = receiving
	if _, err := c.decoder.Write(c.block); err != nil {
		c.end("header not readable")
		return
	}
	c.block = c.block[:0]
	if receiving != nil && c.lastBlock {
		c.finish(f.stream, receiving.status)
	}
}

// field is called by the decoder for each header and trailer of c.current.
func (c *connection) field(field hpack.HeaderField) {
	if c.current != nil && field.Name == "grpc-status" {
		c.current.status = field.Value
	}
}

func (c *connection) takeSettings(f frame) {
	if f.has(flagAck) {
		return
	}
	for rest := f.payload; len(rest) >= 6; rest = rest[6:] {
		value := int(binary.BigEndian.Uint32(rest[2:]))
		switch binary.BigEndian.Uint16(rest) {
		case settingHeaderTableSize:
			c.headers.limitTable(uint32(value))
		case settingMaxConcurrentStreams:
			c.limit = value
		case settingMaxFrameSize:
			c.peerFrame = value
		case settingInitialWindowSize:
			for _, open := range c.calls {
				open.window += value - c.peerWindow
			}
			c.peerWindow = value
		}
	}
	c.greeted = true
	c.out = appendFrame(c.out, frameSettings, flagAck, 0, nil)
	c.sendWaiting()
}

func (c *connection) takeWindow(f frame) {
	increment := int(binary.BigEndian.Uint32(f.payload) & 0x7fffffff)
	if f.stream == 0 {
		c.window += increment
	} else if open, alive := c.calls[f.stream]; alive {
		open.window += increment
	}
	if len(c.waiting) > 0 {
		c.sendWaiting()
	}
}

func (c *connection) takeGoAway(last uint32) {
	c.refusing = true
	for id := range c.calls {
		if id > last {
			c.finish(id, "goaway")
		}
	}
}

func (c *connection) finish(id uint32, status string) {
	if done, alive := c.calls[id]; alive {
		done.status = status
		delete(c.calls, id)
		c.onEnd(c, done)
	}
}

// end gives up the connection and all its calls.
func (c *connection) end(why string) {
	c.refusing = true
	for id := range c.calls {
		c.finish(id, why)
	}
}
