package main

// What every participant needs, whatever its role and its data: leases, tokens, repeats, and a gate. All of it is done
// under one lock, `mu`; whoever waits for a change waits at `changed`.

import (
	"fmt"
	"math"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	wire "example/node/participant"
)

var (
	mu      sync.Mutex
	changed = sync.NewCond(&mu)
)

type kind string

const (
	quiesced    kind = "quiesced"
	suspended   kind = "suspended"
	retained    kind = "retained"
	maintenance kind = "maintenance"
)

type token [3]uint32

func (a token) isOlderThan(b token) bool {
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

// An operation; of a rest also the token.
type key struct {
	operation string
	token     token
}

type hold struct {
	key
	lease time.Duration
	until time.Time // time.Now carries a monotonic clock.
	mark  *wire.SwitchJournalResponse
}

type ending struct {
	kind
	key
}

// How many ends are remembered: far more than one operation has, and an operation never comes back after its end.
const remembered = 1000

// What is held now, how it ended, and the newest token that was not refused.
type holds struct {
	now    map[kind]*hold
	ended  map[ending]bool
	order  []ending
	coming map[key]int // who waits for what is not at rest yet
	newest token
	onEnd  func(kind)
}

func refused(code codes.Code, fact, hint string) error {
	return status.Error(code, fact+"; hint: "+hint)
}

func keyOf(operation string) (key, error) {
	if operation == "" {
		return key{}, refused(codes.InvalidArgument, "operation is missing", "name it")
	}
	return key{operation: operation}, nil
}

func attemptOf(operation string, said *wire.Token) (key, error) {
	k, err := keyOf(operation)
	if err != nil {
		return k, err
	}
	if said == nil {
		return k, refused(codes.InvalidArgument, "token is missing", "name it")
	}
	k.token = token{said.Epoch, said.Counter, said.Attempt}
	return k, nil
}

func mustBeLease(leaseMs float64) error {
	if !(leaseMs > 0) || math.IsInf(leaseMs, 1) {
		return refused(codes.InvalidArgument, "lease_ms is no positive time", "name one")
	}
	return nil
}

// Of what is held, and of what still waits to be.
func (h *holds) keys() []key {
	var keys []key
	for _, one := range h.now {
		keys = append(keys, one.key)
	}
	for k := range h.coming {
		keys = append(keys, k)
	}
	return keys
}

// Everything that speaks against a call before its state does. Its token counts as seen when it is not refused: see `saw`.
func (h *holds) mayCome(k key) error {
	for _, other := range h.keys() {
		if other.operation != k.operation {
			return refused(codes.Aborted, "operation "+other.operation+" holds the process", "wait until it has ended")
		}
	}
	if k.token == (token{}) {
		return nil
	}
	if k.token.isOlderThan(h.newest) {
		return refused(codes.Aborted, fmt.Sprint(k.token, " is older than ", h.newest), "a newer attempt has the process")
	}
	for _, other := range h.keys() {
		if other.token != (token{}) && other != k {
			return refused(codes.FailedPrecondition, "it rests with another token", "resume it first")
		}
	}
	return nil
}

func (h *holds) saw(t token) {
	if h.newest.isOlderThan(t) {
		h.newest = t
	}
}

// Whether it may be taken; false where the call came again and it is still held: that changes nothing.
func (h *holds) isNew(what kind, k key, leaseMs float64) (bool, error) {
	if err := mustBeLease(leaseMs); err != nil {
		return false, err
	}
	if err := h.mayCome(k); err != nil {
		return false, err
	}
	if _, over := h.ended[ending{what, k}]; over {
		return false, refused(codes.FailedPrecondition, string(what)+" has ended", "begin anew")
	}
	if h.holds(what, k) {
		return false, nil
	}
	return true, nil
}

func (h *holds) take(what kind, k key, leaseMs float64) (bool, error) {
	isNew, err := h.isNew(what, k, leaseMs)
	if isNew {
		lease := time.Duration(leaseMs * float64(time.Millisecond))
		h.now[what] = &hold{key: k, lease: lease, until: time.Now().Add(lease)}
		changed.Broadcast()
	}
	return isNew, err
}

func (h *holds) holds(what kind, k key) bool {
	return h.now[what] != nil && h.now[what].key == k
}

// Whether it was held without a break until now.
func (h *holds) end(what kind, k key, held bool) bool {
	if h.holds(what, k) {
		delete(h.now, what)
		h.remember(what, k, held)
		h.onEnd(what)
		changed.Broadcast()
	}
	return h.ended[ending{what, k}]
}

// What was ended is not taken again, and what never was is not either.
func (h *holds) remember(what kind, k key, held bool) {
	if _, known := h.ended[ending{what, k}]; known {
		return
	}
	h.ended[ending{what, k}] = held
	if what == quiesced { // Also what still waits for it.
		delete(h.coming, k)
		changed.Broadcast()
	}
	h.order = append(h.order, ending{what, k})
	if len(h.order) > remembered {
		delete(h.ended, h.order[0])
		h.order = h.order[1:]
	}
}

// Ends all that the operation holds, and what it still waits for.
func (h *holds) release(operation string) {
	for k := range h.coming {
		if k.operation == operation {
			delete(h.coming, k)
		}
	}
	changed.Broadcast()
	for what, one := range h.now {
		if one.operation == operation {
			h.end(what, one.key, false)
		}
	}
}

func (h *holds) renew(operation string) {
	for _, one := range h.now {
		if one.operation == operation {
			one.until = time.Now().Add(one.lease)
		}
	}
}

// First in every call, too: a process that was stopped for a while must not say that it held.
func (h *holds) expire() {
	for what, one := range h.now {
		if !time.Now().Before(one.until) {
			h.end(what, one.key, false)
		}
	}
}

// Ends leases by itself, and lets those who wait at `changed` look at the clock.
func (h *holds) watch() {
	for range time.Tick(5 * time.Millisecond) {
		mu.Lock()
		h.expire()
		changed.Broadcast()
		mu.Unlock()
	}
}

// In front of all that acknowledges, shows or logs. Who is inside when it closes comes out; the others wait.
type gate struct {
	holds     *holds
	inside    map[int]string
	entered   int
	closing   int
	readsGoOn bool
}

func (g *gate) isClosed(reads bool) bool {
	return !(reads && g.readsGoOn) && (g.closing > 0 || g.holds.now[quiesced] != nil)
}

func (g *gate) enter(what string, reads bool) (leave func()) {
	mu.Lock()
	defer mu.Unlock()
	for g.isClosed(reads) {
		changed.Wait()
	}
	if reads {
		return func() {}
	}
	g.entered++
	number := g.entered
	g.inside[number] = what
	return func() {
		mu.Lock()
		defer mu.Unlock()
		delete(g.inside, number)
		changed.Broadcast()
	}
}

// What is still inside when the time is over; nothing where the gate is closed. Called with the lock.
func (g *gate) close(timeoutMs float64, isGivenUp func() bool) []string {
	until := time.Now().Add(time.Duration(timeoutMs * float64(time.Millisecond)))
	g.closing++
	for len(g.inside) > 0 && !isGivenUp() && time.Now().Before(until) {
		changed.Wait()
	}
	g.closing--
	changed.Broadcast()
	var busy []string
	for _, what := range g.inside {
		busy = append(busy, what)
	}
	return busy
}
