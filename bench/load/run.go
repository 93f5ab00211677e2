package main

import (
	"fmt"
	"math/rand"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// plan is how calls are started: as many as `inFlight` at once, or at `rate` a second whatever comes back.
type plan struct {
	bodies   [][]byte
	offset   int
	once     bool
	calls    int
	warmup   time.Duration
	length   time.Duration
	rate     float64
	inFlight int
}

// run starts the calls of a plan on its connections and notes what becomes of them.
type run struct {
	plan        plan
	connections []*connection

	lock     sync.Mutex
	started  int
	open     int
	ending   bool
	due      []time.Time // open loop: calls that had to wait for a place
	from     time.Time
	until    time.Time
	last     time.Time
	cpuFrom  time.Duration
	measured bool
	tally    tally
	over     chan struct{}
}

func newRun(where target, wanted plan, connections int) (*run, error) {
	r := &run{plan: wanted, over: make(chan struct{})}
	for range connections {
		c, err := dial(where, r.ended)
		if err != nil {
			return nil, err
		}
		r.connections = append(r.connections, c)
		if places := c.limit * connections; places < r.plan.inFlight {
			return nil, fmt.Errorf("the server takes %d calls at once on a connection", c.limit)
		}
	}
	return r, nil
}

func (r *run) do() {
	begin := time.Now()
	r.from = begin.Add(r.plan.warmup)
	r.until = r.from.Add(r.plan.length)
	if r.plan.warmup == 0 {
		r.measure(begin)
	}
	if r.plan.rate > 0 {
		go r.openLoop(begin)
	} else {
		for number := range r.plan.inFlight {
			c := r.connections[number%len(r.connections)]
			c.lock.Lock()
			r.next(c, time.Now())
			c.lock.Unlock()
		}
	}
	if r.plan.length > 0 {
		time.AfterFunc(time.Until(r.until), r.stop)
	}
	<-r.over
}

// next starts one call on the connection, whose lock is held, unless enough were started.
func (r *run) next(c *connection, due time.Time) bool {
	r.lock.Lock()
	if r.enough() {
		r.ending = true
		r.checkOver()
		r.lock.Unlock()
		return false
	}
	body := r.plan.bodies[(r.plan.offset+r.started)%len(r.plan.bodies)]
	r.started++
	r.open++
	r.lock.Unlock()
	if c.start(body, due) {
		return true
	}
	r.lock.Lock()
	defer r.lock.Unlock()
	r.open--
	r.ending = true
	r.tally.refused++
	r.checkOver()
	return false
}

func (r *run) enough() bool {
	asked := r.plan.calls > 0 && r.started >= r.plan.calls
	return r.ending || asked || (r.plan.once && r.plan.offset+r.started >= len(r.plan.bodies))
}

func (r *run) ended(c *connection, done *call) {
	now := time.Now()
	r.lock.Lock()
	r.open--
	r.tally.total++
	if r.measured && (r.plan.length == 0 || now.Before(r.until)) {
		r.tally.add(done, now)
		r.last = now
	} else if !r.measured && !now.Before(r.from) {
		r.measure(now)
	}
	r.tally.check(done)
	due, waits := now, r.plan.rate == 0
	if len(r.due) > 0 {
		due, waits = r.due[0], true
		r.due = r.due[1:]
	}
	r.checkOver()
	r.lock.Unlock()
	if waits {
		r.next(c, due)
	}
}

// measure begins the part that counts, after the warm-up.
func (r *run) measure(now time.Time) {
	r.measured = true
	r.from = now
	if r.plan.length > 0 {
		r.until = now.Add(r.plan.length)
	}
	r.cpuFrom = cpu()
}

// stop starts nothing any more; calls under way are waited for.
func (r *run) stop() {
	r.lock.Lock()
	defer r.lock.Unlock()
	if late := time.Until(r.until); late > 0 {
		time.AfterFunc(late, r.stop)
		return
	}
	r.ending = true
	r.due = nil
	r.checkOver()
}

func (r *run) checkOver() {
	if r.ending && r.open == 0 && len(r.due) == 0 {
		select {
		case <-r.over:
		default:
			close(r.over)
		}
	}
}

// openLoop starts calls at moments that do not depend on the answers, as independent users do (exponential
// gaps from a fixed seed). A latency counts from the moment that was due, so a late start is not forgiven.
func (r *run) openLoop(begin time.Time) {
	runtime.LockOSThread()
	gaps := rand.New(rand.NewSource(1))
	due := begin
	for number := 0; ; number++ {
		due = due.Add(time.Duration(gaps.ExpFloat64() / r.plan.rate * float64(time.Second)))
		pause(time.Until(due))
		r.lock.Lock()
		ending := r.ending
		full := r.open >= r.plan.inFlight
		if full && !ending {
			r.due = append(r.due, due)
		}
		r.lock.Unlock()
		if ending {
			return
		}
		if full {
			continue
		}
		c := r.connections[number%len(r.connections)]
		c.lock.Lock()
		r.next(c, due)
		c.lock.Unlock()
	}
}

// pause sleeps in the kernel: Go's own timers wake up to a millisecond late when nothing else runs.
func pause(length time.Duration) {
	if length > 0 {
		wanted := syscall.NsecToTimespec(int64(length))
		_ = syscall.Nanosleep(&wanted, nil)
	}
}

func cpu() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
