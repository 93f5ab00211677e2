package main

import (
	"errors"
	"fmt"
	"math/rand"
	"syscall"
	"time"
)

const (
	greetPatience = 10 * time.Second
	endPatience   = 60 * time.Second
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

// run starts the calls of a plan on its connections and notes what becomes of them. One thread does it all.
type run struct {
	plan     plan
	poller   *poller
	started  int
	open     int
	ending   bool
	arrivals *rand.Rand
	arrival  time.Time   // open loop: when the next call is due
	due      []time.Time // open loop: calls that wait for a place
	from     time.Time
	until    time.Time
	last     time.Time
	cpuFrom  time.Duration
	tally    tally
}

func newRun(where target, wanted plan, connections int) (*run, error) {
	poller, err := newPoller()
	if err != nil {
		return nil, err
	}
	r := &run{plan: wanted, poller: poller, arrivals: rand.New(rand.NewSource(1))}
	for number := range connections {
		made, err := poller.dial(where.of(number), r.ended)
		if err != nil {
			return nil, err
		}
		if err := r.greet(number, made.connection, wanted.inFlight/connections); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// greet waits for the server's settings: they bound the very first request.
func (r *run) greet(number int, c *connection, share int) error {
	if err := r.poller.flush(number); err != nil {
		return err
	}
	for deadline := time.Now().Add(greetPatience); !c.greeted; {
		if err := r.poller.wait(deadline); err != nil {
			return err
		}
		if c.refusing || time.Now().After(deadline) {
			return fmt.Errorf("no HTTP/2 at %s", c.target.address)
		}
	}
	if c.limit < share {
		return fmt.Errorf("the server takes %d calls at once on a connection", c.limit)
	}
	return nil
}

func (r *run) do() error {
	begin := time.Now()
	r.from = begin.Add(r.plan.warmup)
	r.until = r.from.Add(r.plan.length)
	if r.plan.warmup == 0 {
		r.cpuFrom = cpu()
	}
	r.arrival = begin
	if r.plan.rate == 0 {
		for number := range r.plan.inFlight {
			r.next(number, begin)
		}
	}
	for !r.ending || r.open > 0 {
		if err := r.turn(time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// turn does what is due now, then waits for answers until something else is.
func (r *run) turn(now time.Time) error {
	if r.cpuFrom == 0 && !now.Before(r.from) {
		r.cpuFrom = cpu()
	}
	if r.plan.length > 0 && !now.Before(r.until) {
		r.ending = true
		r.due = nil
	}
	if r.ending && now.After(r.until.Add(endPatience)) && r.plan.length > 0 {
		return errors.New("calls are not answered")
	}
	wake := now.Add(endPatience)
	if r.plan.rate > 0 && !r.ending {
		wake = r.arrive(now)
	}
	if r.plan.length > 0 && !r.ending && r.until.Before(wake) {
		wake = r.until
	}
	for number := range r.poller.sockets {
		if err := r.poller.flush(number); err != nil {
			return err
		}
	}
	return r.poller.wait(wake)
}

// arrive starts the calls that are due and returns the moment of the next one. The moments do not depend on the
// answers, as with independent users (exponential gaps, fixed seed), and a latency counts from the moment
// that was due: a late start is not forgiven.
func (r *run) arrive(now time.Time) time.Time {
	for !r.arrival.After(now) {
		if r.open < r.plan.inFlight {
			r.next(r.started, r.arrival)
		} else {
			r.due = append(r.due, r.arrival)
		}
		r.arrival = r.arrival.Add(time.Duration(r.arrivals.ExpFloat64() / r.plan.rate * float64(time.Second)))
	}
	return r.arrival
}

func (r *run) next(number int, due time.Time) {
	r.startOn(r.poller.sockets[number%len(r.poller.sockets)].connection, due)
}

// startOn starts one call on the connection, unless enough were started.
func (r *run) startOn(c *connection, due time.Time) {
	if r.ending || r.enough() {
		r.ending = true
		return
	}
	body := r.plan.bodies[(r.plan.offset+r.started)%len(r.plan.bodies)]
	if !c.start(body, due) {
		r.tally.refused++
		r.ending = true
		return
	}
	r.started++
	r.open++
}

func (r *run) enough() bool {
	return r.exhausted() || (r.plan.calls > 0 && r.started >= r.plan.calls)
}

func (r *run) exhausted() bool {
	return r.plan.once && r.plan.offset+r.started >= len(r.plan.bodies)
}

func (r *run) ended(c *connection, done *call) {
	now := time.Now()
	r.open--
	r.tally.check(done)
	if !now.Before(r.from) && (r.plan.length == 0 || now.Before(r.until)) {
		r.tally.add(done, now)
		r.last = now
	}
	if len(r.due) > 0 {
		r.startOn(c, r.due[0])
		r.due = r.due[1:]
	} else if r.plan.rate == 0 {
		r.startOn(c, now)
	}
}

func cpu() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
