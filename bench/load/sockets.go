package main

import (
	"fmt"
	"net"
	"syscall"
	"time"
	"unsafe"
)

// Go's own network loop costs seven system calls a call, most of them to wake threads of its scheduler. One
// thread that waits in the kernel itself needs three: wait, read, write.

const epollPwait2 = 441 // the same number on all 64-bit Linux

type socket struct {
	descriptor int
	connection *connection
	received   []byte // room, of which `filled` bytes are not taken yet
	filled     int
	sent       int
	blocked    bool
}

type poller struct {
	descriptor int
	sockets    []*socket
	events     [16]syscall.EpollEvent
}

func newPoller() (*poller, error) {
	descriptor, err := syscall.EpollCreate1(0)
	return &poller{descriptor: descriptor}, err
}

func (p *poller) dial(where target, onEnd ended) (*socket, error) {
	address, err := net.ResolveTCPAddr("tcp4", where.address)
	if err != nil {
		return nil, err
	}
	descriptor, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, err
	}
	peer := &syscall.SockaddrInet4{Port: address.Port, Addr: [4]byte(address.IP.To4())}
	if err = syscall.Connect(descriptor, peer); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", where.address, err)
	}
	if err = syscall.SetsockoptInt(descriptor, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1); err != nil {
		return nil, err
	}
	if err = syscall.SetNonblock(descriptor, true); err != nil {
		return nil, err
	}
	made := &socket{
		descriptor: descriptor,
		connection: newConnection(where, onEnd),
		received:   make([]byte, 1<<20+where.maxFrame),
	}
	p.sockets = append(p.sockets, made)
	return made, p.control(syscall.EPOLL_CTL_ADD, len(p.sockets)-1, syscall.EPOLLIN)
}

func (p *poller) control(operation, number int, events uint32) error {
	event := syscall.EpollEvent{Events: events, Fd: int32(number)}
	return syscall.EpollCtl(p.descriptor, operation, p.sockets[number].descriptor, &event)
}

// wait receives what comes until then, and sends what that gave rise to.
func (p *poller) wait(until time.Time) error {
	length := syscall.NsecToTimespec(max(0, int64(time.Until(until))))
	count, _, failed := syscall.RawSyscall6(
		epollPwait2, uintptr(p.descriptor), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)),
		uintptr(unsafe.Pointer(&length)), 0, 0,
	)
	if failed == syscall.EINTR {
		return nil
	}
	if failed != 0 {
		return fmt.Errorf("epoll_pwait2: %w", failed)
	}
	for _, event := range p.events[:count] {
		if event.Events&^syscall.EPOLLOUT != 0 {
			p.receive(int(event.Fd))
		}
		if err := p.flush(int(event.Fd)); err != nil {
			return err
		}
	}
	return nil
}

func (p *poller) receive(number int) {
	s := p.sockets[number]
	room := s.received[s.filled:]
	count, _, failed := syscall.RawSyscall(
		syscall.SYS_READ, uintptr(s.descriptor), uintptr(unsafe.Pointer(&room[0])), uintptr(len(room)),
	)
	if failed == syscall.EAGAIN || failed == syscall.EINTR {
		return
	}
	if failed != 0 || count == 0 {
		_ = p.control(syscall.EPOLL_CTL_DEL, number, 0)
		s.connection.end("connection lost")
		return
	}
	s.filled += int(count)
	taken := s.connection.takeAll(s.received[:s.filled])
	s.filled = copy(s.received, s.received[taken:s.filled])
}

func (p *poller) flush(number int) error {
	s := p.sockets[number]
	rest := s.connection.out[s.sent:]
	if len(rest) == 0 || s.connection.refusing {
		return nil
	}
	count, _, failed := syscall.RawSyscall(
		syscall.SYS_WRITE, uintptr(s.descriptor), uintptr(unsafe.Pointer(&rest[0])), uintptr(len(rest)),
	)
	if failed != 0 && failed != syscall.EAGAIN {
		return nil // the next read meets the same end, and tells
	}
	if failed == 0 {
		s.sent += int(count)
	}
	if s.sent == len(s.connection.out) {
		s.connection.out, s.sent = s.connection.out[:0], 0
	}
	if blocked := s.sent > 0 || failed != 0; blocked != s.blocked {
		s.blocked = blocked
		events := uint32(syscall.EPOLLIN)
		if blocked {
			events |= syscall.EPOLLOUT
		}
		return p.control(syscall.EPOLL_CTL_MOD, number, events)
	}
	return nil
}
