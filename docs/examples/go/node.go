// The contract, call by call.

package main

import (
	"context"
	"math"

	"google.golang.org/grpc/codes"

	wire "example/node/participant"
)

type node struct {
	wire.UnimplementedParticipantServiceServer
	grid, name, copyset, address string
	incarnation                  string
	startedWith                  *wire.Content
	store                        *store
	holds                        *holds
	gate                         *gate
}

func (n *node) describe() *wire.DescribeResponse {
	held := &wire.Held{
		Quiesced: n.holds.now[quiesced] != nil, WritingSuspended: n.holds.now[suspended] != nil,
		JournalRetained: n.holds.now[retained] != nil, Maintenance: n.holds.now[maintenance] != nil,
	}
	for _, one := range n.holds.keys() {
		held.Operation = one.operation
	}
	return &wire.DescribeResponse{
		ContractVersion: 1, Grid: n.grid, Name: n.name, Role: wire.Role_ROLE_NODE, Incarnation: n.incarnation,
		Version: "1.0", Address: n.address, DataDirectory: n.store.data, JournalDirectory: "journal", Copyset: n.copyset,
		Primary: true, DataIdentity: n.store.identity, SizeBytes: n.store.sizeBytes(), Held: held, StartedWith: n.startedWith,
	}
}

// Every call is answered under the lock, when what has run out has ended.
func answer[T any](n *node, give func() (*T, error)) (*T, error) {
	mu.Lock()
	defer mu.Unlock()
	n.holds.expire()
	return give()
}

func (n *node) Describe(context.Context, *wire.DescribeRequest) (*wire.DescribeResponse, error) {
	return answer(n, func() (*wire.DescribeResponse, error) { return n.describe(), nil })
}

func (n *node) Health(context.Context, *wire.HealthRequest) (*wire.HealthResponse, error) {
	return &wire.HealthResponse{Healthy: true}, nil
}

func (n *node) Quiesce(_ context.Context, r *wire.QuiesceRequest) (*wire.QuiesceResponse, error) {
	return answer(n, func() (*wire.QuiesceResponse, error) {
		k, err := attemptOf(r.Operation, r.Token)
		if err != nil {
			return nil, err
		}
		if !(r.TimeoutMs >= 0) || math.IsInf(r.TimeoutMs, 1) {
			return nil, refused(codes.InvalidArgument, "timeout_ms is no time", "name one")
		}
		isNew, err := n.holds.isNew(quiesced, k, r.LeaseMs) // What speaks against it is said before anybody waits.
		if err != nil {
			return nil, err
		}
		if isNew {
			n.holds.coming[k]++
			isGivenUp := func() bool { return n.holds.coming[k] == 0 }
			busy := n.gate.close(r.TimeoutMs, isGivenUp)
			if isGivenUp() {
				return nil, refused(codes.Aborted, "it was resumed or released while it waited", "begin anew")
			}
			if n.holds.coming[k]--; n.holds.coming[k] == 0 {
				delete(n.holds.coming, k)
			}
			n.holds.saw(k.token)
			if len(busy) > 0 {
				return &wire.QuiesceResponse{Incarnation: n.incarnation, NotQuiesced: busy}, nil
			}
			if _, err := n.holds.take(quiesced, k, r.LeaseMs); err != nil {
				return nil, err
			}
			n.gate.readsGoOn = r.AllowReads
		}
		return &wire.QuiesceResponse{Incarnation: n.incarnation, Quiesced: true}, nil
	})
}

func (n *node) SwitchJournal(_ context.Context, r *wire.SwitchJournalRequest) (*wire.SwitchJournalResponse, error) {
	return answer(n, func() (*wire.SwitchJournalResponse, error) {
		k, err := attemptOf(r.Operation, r.Token)
		if err == nil {
			err = n.holds.mayCome(k)
		}
		if err != nil {
			return nil, err
		}
		if !n.holds.holds(quiesced, k) {
			return nil, refused(codes.FailedPrecondition, "it is not quiesced with this token", "quiesce it first")
		}
		rest := n.holds.now[quiesced]
		if rest.mark == nil {
			file, length := n.store.switchJournal()
			rest.mark = &wire.SwitchJournalResponse{
				Incarnation: n.incarnation, JournalFile: file, Length: length, Content: n.store.content(),
			}
		}
		return rest.mark, nil
	})
}

func (n *node) Resume(_ context.Context, r *wire.ResumeRequest) (*wire.ResumeResponse, error) {
	return answer(n, func() (*wire.ResumeResponse, error) {
		k, err := attemptOf(r.Operation, r.Token)
		if err == nil {
			err = n.holds.mayCome(k)
		}
		if err != nil {
			return nil, err
		}
		held := n.holds.end(quiesced, k, true)
		n.holds.remember(quiesced, k, false) // What was resumed is not quiesced again.
		n.holds.saw(k.token)
		cause := ""
		if !held {
			cause = "its lease was over, or it never was quiesced with this token"
		}
		return &wire.ResumeResponse{Incarnation: n.incarnation, Held: held, Cause: cause}, nil
	})
}

func (n *node) SuspendWriting(_ context.Context, r *wire.SuspendWritingRequest) (*wire.SuspendWritingResponse, error) {
	return answer(n, func() (*wire.SuspendWritingResponse, error) {
		k, err := keyOf(r.Operation)
		if err != nil {
			return nil, err
		}
		isNew, err := n.holds.take(suspended, k, r.LeaseMs)
		if err != nil {
			return nil, err
		}
		n.store.suspended = n.store.suspended || isNew
		for n.store.writing {
			changed.Wait()
		}
		return &wire.SuspendWritingResponse{Incarnation: n.incarnation, FirstJournalFile: n.store.firstNeeded()}, nil
	})
}

func (n *node) ResumeWriting(_ context.Context, r *wire.ResumeWritingRequest) (*wire.ResumeWritingResponse, error) {
	return answer(n, func() (*wire.ResumeWritingResponse, error) {
		k, err := keyOf(r.Operation)
		if err == nil && r.RetainJournal {
			err = mustBeLease(r.LeaseMs)
		}
		if err == nil {
			err = n.holds.mayCome(k)
		}
		if err != nil {
			return nil, err
		}
		if r.RetainJournal && n.holds.holds(suspended, k) {
			// Before the other ends: there is no moment between.
			if _, err := n.holds.take(retained, k, r.LeaseMs); err != nil {
				return nil, err
			}
			n.store.retained = true
		}
		held := n.holds.end(suspended, k, true)
		n.holds.remember(suspended, k, false) // What was ended before it began is not begun any more.
		return &wire.ResumeWritingResponse{Incarnation: n.incarnation, Held: held}, nil
	})
}

func (n *node) ReleaseJournal(_ context.Context, r *wire.ReleaseJournalRequest) (*wire.ReleaseJournalResponse, error) {
	return answer(n, func() (*wire.ReleaseJournalResponse, error) {
		k, err := keyOf(r.Operation)
		if err == nil {
			err = n.holds.mayCome(k)
		}
		if err != nil {
			return nil, err
		}
		return &wire.ReleaseJournalResponse{Incarnation: n.incarnation, Held: n.holds.end(retained, k, true)}, nil
	})
}

func (n *node) EnterMaintenance(_ context.Context, r *wire.EnterMaintenanceRequest) (*wire.EnterMaintenanceResponse, error) {
	return answer(n, func() (*wire.EnterMaintenanceResponse, error) {
		k, err := keyOf(r.Operation)
		if err == nil {
			_, err = n.holds.take(maintenance, k, r.LeaseMs)
		}
		return &wire.EnterMaintenanceResponse{Incarnation: n.incarnation}, err
	})
}

func (n *node) LeaveMaintenance(_ context.Context, r *wire.LeaveMaintenanceRequest) (*wire.LeaveMaintenanceResponse, error) {
	return answer(n, func() (*wire.LeaveMaintenanceResponse, error) {
		k, err := keyOf(r.Operation)
		if err == nil {
			err = n.holds.mayCome(k)
		}
		if err != nil {
			return nil, err
		}
		held := n.holds.end(maintenance, k, true)
		n.holds.remember(maintenance, k, false)
		return &wire.LeaveMaintenanceResponse{Incarnation: n.incarnation, Held: held}, nil
	})
}

func (n *node) Renew(_ context.Context, r *wire.RenewRequest) (*wire.RenewResponse, error) {
	return answer(n, func() (*wire.RenewResponse, error) {
		k, err := keyOf(r.Operation)
		if err == nil {
			err = n.holds.mayCome(k)
		}
		if err == nil {
			n.holds.renew(k.operation)
		}
		return &wire.RenewResponse{Held: n.describe().Held}, err
	})
}

func (n *node) Release(_ context.Context, r *wire.ReleaseRequest) (*wire.ReleaseResponse, error) {
	return answer(n, func() (*wire.ReleaseResponse, error) {
		k, err := keyOf(r.Operation)
		if err == nil {
			n.holds.release(k.operation)
		}
		return &wire.ReleaseResponse{Incarnation: n.incarnation}, err
	})
}
