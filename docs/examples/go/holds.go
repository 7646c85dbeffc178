package main

// What every participant needs, whatever its role and its data: leases, tokens, repeats, and a gate. It decides by
// docs/participant-table.md. All of it is done under one lock, `mu`; whoever waits for a change waits at `changed`.

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
	lease  time.Duration
	until  time.Time // time.Now carries a monotonic clock.
	taken  bool      // A Quiesce that waits for rest holds others off already; it has no lease yet.
	busy   []string  // What did not come to rest in time.
	mark   *wire.SwitchJournalResponse
	needed string // The first journal file, as it was answered once.
}

func (h *hold) take() {
	h.taken, h.until = true, time.Now().Add(h.lease)
	changed.Broadcast()
}

type ending struct {
	kind
	key
}

// How many ends are remembered.
const remembered = 1000

// At most one hold of each kind, all of one operation; and how those before have ended.
type holds struct {
	now    map[kind]*hold
	ended  map[ending]bool
	order  []ending
	newest token
	onEnd  func(kind)
}

// What a request says, looked at in the order that the contract has: `check`.
type asked struct {
	operation          string
	token              *wire.Token
	needsToken, others bool
	leaseMs, timeoutMs *float64
}

func refused(code codes.Code, fact, hint string) error {
	return status.Error(code, fact+"; hint: "+hint)
}

func (h *holds) check(a asked) (key, error) {
	k := key{operation: a.operation}
	if a.operation == "" {
		return k, refused(codes.InvalidArgument, "operation is missing", "name it")
	}
	if a.needsToken && a.token == nil {
		return k, refused(codes.InvalidArgument, "token is missing", "name it")
	}
	if a.leaseMs != nil && (!(*a.leaseMs > 0) || math.IsInf(*a.leaseMs, 1)) {
		return k, refused(codes.InvalidArgument, "lease_ms is no positive time", "name one")
	}
	if a.timeoutMs != nil && (!(*a.timeoutMs >= 0) || math.IsInf(*a.timeoutMs, 1)) {
		return k, refused(codes.InvalidArgument, "timeout_ms is no time", "name one")
	}
	if other := h.operation(); other != "" && other != a.operation && !a.others {
		return k, refused(codes.Aborted, "operation "+other+" holds the process", "wait until it has ended")
	}
	if a.needsToken {
		k.token = token{a.token.Epoch, a.token.Counter, a.token.Attempt}
		if k.token.isOlderThan(h.newest) {
			return k, refused(codes.Aborted, fmt.Sprint(k.token, " is older than ", h.newest), "a newer attempt has the process")
		}
	}
	return k, nil
}

// Of a call that is answered: a request that was refused has not been seen, its token included.
func (h *holds) saw(k key) {
	if h.newest.isOlderThan(k.token) {
		h.newest = k.token
	}
}

func (h *holds) operation() string {
	for _, one := range h.now {
		return one.operation
	}
	return ""
}

func (h *holds) taken(what kind) bool { return h.now[what] != nil && h.now[what].taken }

func (h *holds) has(one *hold) bool {
	for _, other := range h.now {
		if other == one {
			return true
		}
	}
	return false
}

func otherToken(what kind) error {
	return refused(codes.FailedPrecondition, "it is "+string(what)+" with another token", "resume that first")
}

// A new hold, not taken yet; or the one that is there where the call came again: that changes nothing.
func (h *holds) begin(what kind, k key, leaseMs float64) (*hold, error) {
	if _, over := h.ended[ending{what, k}]; over {
		return nil, refused(codes.FailedPrecondition, string(what)+" has ended", "begin anew, with a newer token")
	}
	if h.now[what] == nil {
		h.now[what] = &hold{key: k, lease: time.Duration(leaseMs * float64(time.Millisecond))}
	}
	if h.now[what].key != k {
		return nil, otherToken(what)
	}
	return h.now[what], nil
}

// Whether it was held without a break until now. One that comes first forestalls its beginning, but for a retention.
func (h *holds) end(what kind, k key, inTime bool) (bool, error) {
	one := h.now[what]
	if one != nil && one.key != k {
		return false, otherToken(what)
	}
	_, known := h.ended[ending{what, k}]
	if one != nil || (!known && what != retained) {
		delete(h.now, what)
		h.ended[ending{what, k}] = one != nil && one.taken && inTime
		h.order = append(h.order, ending{what, k})
	}
	if one != nil {
		h.onEnd(what)
		changed.Broadcast()
	}
	if len(h.order) > remembered {
		delete(h.ended, h.order[0])
		h.order = h.order[1:]
	}
	return h.ended[ending{what, k}], nil
}

func (h *holds) release(operation string) {
	for what, one := range h.now {
		if one.operation == operation {
			_, _ = h.end(what, one.key, false)
		}
	}
}

func (h *holds) renew() {
	for _, one := range h.now {
		if one.taken {
			one.take()
		}
	}
}

// First in every call, too: a process that was stopped for a while must not say that it held.
func (h *holds) expire() {
	for what, one := range h.now {
		if one.taken && !time.Now().Before(one.until) {
			_, _ = h.end(what, one.key, false)
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
