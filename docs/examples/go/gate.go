package main

import (
	"time"

	"google.golang.org/grpc/codes"

	wire "example/node/participant"
)

// In front of all that acknowledges, shows or logs. Who is inside when it closes comes out; the others wait.
type gate struct {
	holds     *holds
	inside    map[int]string
	entered   int
	readsGoOn bool
}

func (g *gate) isClosed(reads bool) bool {
	if reads {
		return g.holds.taken(quiesced) && !g.readsGoOn
	}
	return g.holds.now[quiesced] != nil
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

// Begins a rest, or waits with who has begun it. The hold is taken, or says what did not come to rest in time.
func (g *gate) close(k key, r *wire.QuiesceRequest) (*hold, error) {
	isFirst := g.holds.now[quiesced] == nil
	one, err := g.holds.begin(quiesced, k, r.LeaseMs)
	if err != nil {
		return nil, err
	}
	until := time.Now().Add(time.Duration(r.TimeoutMs * float64(time.Millisecond)))
	for g.holds.has(one) && !one.taken && (!isFirst || len(g.inside) > 0 && time.Now().Before(until)) {
		changed.Wait()
	}
	if isFirst && g.holds.has(one) {
		if len(g.inside) == 0 {
			g.readsGoOn = r.AllowReads
			one.take()
		} else {
			for _, what := range g.inside {
				one.busy = append(one.busy, what)
			}
			delete(g.holds.now, quiesced)
			changed.Broadcast()
		}
	}
	if !g.holds.has(one) && one.busy == nil {
		return nil, refused(codes.Aborted, "it was ended while it waited", "begin anew, with a newer token")
	}
	g.holds.saw(k)
	return one, nil
}
