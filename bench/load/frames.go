package main

import "encoding/binary"

// RFC 9113, sections 6 and 7.
const (
	preface         = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frameHeaderSize = 9
	defaultWindow   = 65535
	defaultMaxFrame = 16384

	frameData         = 0x0
	frameHeaders      = 0x1
	frameResetStream  = 0x3
	frameSettings     = 0x4
	framePing         = 0x6
	frameGoAway       = 0x7
	frameWindowUpdate = 0x8
	frameContinuation = 0x9

	flagAck        = 0x1
	flagEndStream  = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20

	settingHeaderTableSize      = 0x1
	settingEnablePush           = 0x2
	settingMaxConcurrentStreams = 0x3
	settingInitialWindowSize    = 0x4
	settingMaxFrameSize         = 0x5
)

type frame struct {
	kind, flags byte
	stream      uint32
	payload     []byte
}

func (f frame) has(flag byte) bool { return f.flags&flag != 0 }

// content is the payload without padding and priority.
func (f frame) content() []byte {
	payload := f.payload
	padding := 0
	if f.has(flagPadded) {
		padding = int(payload[0])
		payload = payload[1:]
	}
	if f.kind == frameHeaders && f.has(flagPriority) {
		payload = payload[5:]
	}
	return payload[:len(payload)-padding]
}

// firstFrame returns the first frame of what was received and its size with header; 0 when it is not all there.
func firstFrame(received []byte) (frame, int) {
	if len(received) < frameHeaderSize {
		return frame{}, 0
	}
	size := frameHeaderSize + (int(received[0])<<16 | int(received[1])<<8 | int(received[2]))
	if len(received) < size {
		return frame{}, 0
	}
	stream := binary.BigEndian.Uint32(received[5:]) & 0x7fffffff
	return frame{received[3], received[4], stream, received[frameHeaderSize:size]}, size
}

func appendFrameHeader(out []byte, size int, kind, flags byte, stream uint32) []byte {
	out = append(out, byte(size>>16), byte(size>>8), byte(size), kind, flags)
	return binary.BigEndian.AppendUint32(out, stream)
}

func appendFrame(out []byte, kind, flags byte, stream uint32, payload []byte) []byte {
	return append(appendFrameHeader(out, len(payload), kind, flags, stream), payload...)
}

func appendWindowUpdate(out []byte, stream uint32, increment int) []byte {
	out = appendFrameHeader(out, 4, frameWindowUpdate, 0, stream)
	return binary.BigEndian.AppendUint32(out, uint32(increment))
}

func appendSetting(out []byte, id uint16, value int) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(out, id), uint32(value))
}
