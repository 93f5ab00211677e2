package main

import (
	"bytes"

	"golang.org/x/net/http2/hpack"
)

// headerBlocks encodes the request's header once: the first block teaches the server's table the fields,
// every later one is the same few index bytes, as from any client that calls one method again and again.
type headerBlocks struct {
	fields  []hpack.HeaderField
	buffer  bytes.Buffer
	encoder *hpack.Encoder
	sent    int
	steady  []byte
}

func newHeaderBlocks(where target) *headerBlocks {
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "http"},
		{Name: ":path", Value: where.method},
		{Name: ":authority", Value: where.address},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "te", Value: "trailers"},
		{Name: "user-agent", Value: "contactservice-load"},
	}
	blocks := &headerBlocks{fields: append(fields, where.metadata...)}
	blocks.encoder = hpack.NewEncoder(&blocks.buffer)
	return blocks
}

func (b *headerBlocks) limitTable(size uint32) {
	b.encoder.SetMaxDynamicTableSizeLimit(size)
	b.sent, b.steady = 0, nil
}

func (b *headerBlocks) next() []byte {
	if b.steady != nil {
		return b.steady
	}
	b.buffer.Reset()
	for _, field := range b.fields {
		_ = b.encoder.WriteField(field) // into a bytes.Buffer, which takes all
	}
	block := bytes.Clone(b.buffer.Bytes())
	if b.sent++; b.sent > 1 {
		b.steady = block
	}
	return block
}
