package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
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

// connection is one HTTP/2 connection. One goroutine reads and one writes, so that neither waits for the
// other; what several calls have to say leaves in one write.
type connection struct {
	socket  net.Conn
	target  target
	onEnd   ended
	decoder *hpack.Decoder

	lock       sync.Mutex
	wake       *sync.Cond
	out        []byte
	closed     bool
	refusing   bool // after GOAWAY
	calls      map[uint32]*call
	waiting    []uint32 // streams whose request did not fit into a window
	headers    *headerBlocks
	nextStream uint32
	window     int
	taken      int
	limit      int // streams at once, as the server allows
	peerWindow int
	peerFrame  int
	block      []byte // of a header that goes on in CONTINUATION
	current    *call  // whose header the decoder reads
}

// target says what is called, and with which windows the answers are received.
type target struct {
	address, method string
	metadata        []hpack.HeaderField
	window          int
	maxFrame        int
}

func dial(where target, onEnd ended) (*connection, error) {
	socket, err := net.DialTimeout("tcp", where.address, 10*time.Second)
	if err != nil {
		return nil, err
	}
	c := &connection{
		socket: socket, target: where, onEnd: onEnd, calls: map[uint32]*call{}, nextStream: 1,
		window: defaultWindow, limit: 1 << 30, peerWindow: defaultWindow, peerFrame: defaultMaxFrame,
	}
	c.wake = sync.NewCond(&c.lock)
	c.decoder = hpack.NewDecoder(4096, c.field)
	c.headers = newHeaderBlocks(where)
	c.out = append(c.out, preface...)
	var settings []byte
	settings = appendSetting(settings, settingEnablePush, 0)
	settings = appendSetting(settings, settingInitialWindowSize, where.window)
	settings = appendSetting(settings, settingMaxFrameSize, where.maxFrame)
	c.out = appendFrame(c.out, frameSettings, 0, 0, settings)
	c.out = appendWindowUpdate(c.out, 0, where.window)
	// The server's settings bound the very first request: they are read before it.
	reader := bufio.NewReaderSize(socket, 1<<20+where.maxFrame)
	go c.write()
	if err := c.greet(reader); err != nil {
		return nil, err
	}
	go c.read(reader)
	return c, nil
}

// start sends a call; the lock is held. False when the server refuses more calls on this connection.
func (c *connection) start(message []byte, due time.Time) bool {
	if c.refusing || c.closed {
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
	c.wake.Signal()
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
	c.wake.Signal()
}

func (c *connection) write() {
	var writing []byte
	for {
		c.lock.Lock()
		for len(c.out) == 0 && !c.closed {
			c.wake.Wait()
		}
		if c.closed {
			c.lock.Unlock()
			return
		}
		writing, c.out = c.out, writing[:0]
		c.lock.Unlock()
		if _, err := c.socket.Write(writing); err != nil {
			return // the reader meets the same end, and tells
		}
	}
}

func (c *connection) greet(reader *bufio.Reader) error {
	for {
		f, err := readFrame(reader)
		if err != nil {
			return fmt.Errorf("no HTTP/2 at %s: %w", c.target.address, err)
		}
		c.lock.Lock()
		c.take(f)
		c.lock.Unlock()
		if f.kind == frameSettings && !f.has(flagAck) {
			return nil
		}
	}
}

func (c *connection) read(reader *bufio.Reader) {
	for {
		f, err := readFrame(reader)
		c.lock.Lock()
		if err != nil {
			c.end("connection lost")
			c.lock.Unlock()
			return
		}
		c.take(f)
		c.lock.Unlock()
	}
}

// readFrame returns a frame whose payload is valid until the next one is read.
func readFrame(reader *bufio.Reader) (frame, error) {
	header, err := reader.Peek(frameHeaderSize)
	if err != nil {
		return frame{}, err
	}
	size := int(header[0])<<16 | int(header[1])<<8 | int(header[2])
	whole, err := reader.Peek(frameHeaderSize + size)
	if err != nil {
		return frame{}, err
	}
	_, err = reader.Discard(len(whole))
	stream := binary.BigEndian.Uint32(whole[5:]) & 0x7fffffff
	return frame{whole[3], whole[4], stream, whole[frameHeaderSize:]}, err
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
			c.wake.Signal()
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
		c.wake.Signal()
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
		c.wake.Signal()
	}
}

func (c *connection) takeHeaders(f frame) {
	c.block = append(c.block, f.content()...)
	if f.kind == frameHeaders && f.has(flagEndStream) {
		defer func(id uint32) { c.endIfWhole(id) }(f.stream)
	}
	if !f.has(flagEndHeaders) {
		return
	}
	c.current = c.calls[f.stream]
	if _, err := c.decoder.Write(c.block); err != nil {
		c.end("header not readable")
		return
	}
	c.block = c.block[:0]
}

// endIfWhole ends a call whose trailers came in one frame, as gRPC's do.
func (c *connection) endIfWhole(id uint32) {
	if done, alive := c.calls[id]; alive {
		status := done.status
		if status == "" {
			status = "no status"
		}
		c.finish(id, status)
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

// end gives up the connection and all its calls; the lock is held.
func (c *connection) end(why string) {
	if c.closed {
		return
	}
	c.closed = true
	c.wake.Signal()
	for id := range c.calls {
		c.finish(id, why)
	}
	_ = c.socket.Close()
}
