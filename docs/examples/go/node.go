// The contract, call by call.

package main

import (
	"context"

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
	return &wire.DescribeResponse{
		ContractVersion: 1, Grid: n.grid, Name: n.name, Role: wire.Role_ROLE_NODE, Incarnation: n.incarnation,
		Version: "1.0", Address: n.address, DataDirectory: n.store.data, JournalDirectory: "journal", Copyset: n.copyset,
		Primary: true, DataIdentity: n.store.identity, SizeBytes: n.store.sizeBytes(), Held: n.held(), StartedWith: n.startedWith,
	}
}

func (n *node) held() *wire.Held {
	return &wire.Held{
		Operation: n.holds.operation(), Quiesced: n.holds.taken(quiesced), WritingSuspended: n.holds.taken(suspended),
		JournalRetained: n.holds.taken(retained), Maintenance: n.holds.taken(maintenance),
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
		k, err := n.holds.check(asked{
			operation: r.Operation, token: r.Token, needsToken: true, leaseMs: &r.LeaseMs, timeoutMs: &r.TimeoutMs,
		})
		if err != nil {
			return nil, err
		}
		one, err := n.gate.close(k, r)
		if err != nil {
			return nil, err
		}
		return &wire.QuiesceResponse{Incarnation: n.incarnation, Quiesced: one.busy == nil, NotQuiesced: one.busy}, nil
	})
}

func (n *node) SwitchJournal(_ context.Context, r *wire.SwitchJournalRequest) (*wire.SwitchJournalResponse, error) {
	return answer(n, func() (*wire.SwitchJournalResponse, error) {
		k, err := n.holds.check(asked{operation: r.Operation, token: r.Token, needsToken: true})
		if err != nil {
			return nil, err
		}
		rest := n.holds.now[quiesced]
		if rest == nil || rest.key != k || !rest.taken {
			return nil, refused(codes.FailedPrecondition, "it is not quiesced with this token", "quiesce it first")
		}
		n.holds.saw(k)
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
		k, err := n.holds.check(asked{operation: r.Operation, token: r.Token, needsToken: true})
		if err != nil {
			return nil, err
		}
		held, err := n.holds.end(quiesced, k, true)
		if err != nil {
			return nil, err
		}
		n.holds.saw(k)
		cause := ""
		if !held {
			cause = "its lease was over, or it never was quiesced with this token"
		}
		return &wire.ResumeResponse{Incarnation: n.incarnation, Held: held, Cause: cause}, nil
	})
}

func (n *node) SuspendWriting(_ context.Context, r *wire.SuspendWritingRequest) (*wire.SuspendWritingResponse, error) {
	return answer(n, func() (*wire.SuspendWritingResponse, error) {
		k, err := n.holds.check(asked{operation: r.Operation, leaseMs: &r.LeaseMs})
		if err != nil {
			return nil, err
		}
		one, err := n.holds.begin(suspended, k, r.LeaseMs)
		if err != nil {
			return nil, err
		}
		n.store.suspended = true
		for n.store.writing && n.holds.has(one) {
			changed.Wait()
		}
		if !n.holds.has(one) {
			return nil, refused(codes.Aborted, "it was ended while it waited", "begin anew")
		}
		if !one.taken {
			one.needed = n.store.firstNeeded()
			one.take()
		}
		return &wire.SuspendWritingResponse{Incarnation: n.incarnation, FirstJournalFile: one.needed}, nil
	})
}

func (n *node) ResumeWriting(_ context.Context, r *wire.ResumeWritingRequest) (*wire.ResumeWritingResponse, error) {
	return answer(n, func() (*wire.ResumeWritingResponse, error) {
		wants := asked{operation: r.Operation}
		if r.RetainJournal {
			wants.leaseMs = &r.LeaseMs
		}
		k, err := n.holds.check(wants)
		if err != nil {
			return nil, err
		}
		if r.RetainJournal && n.holds.taken(suspended) {
			// Before the other ends: there is no moment between.
			one, err := n.holds.begin(retained, k, r.LeaseMs)
			if err != nil {
				return nil, err
			}
			one.take()
			n.store.retained = true
		}
		held, err := n.holds.end(suspended, k, true)
		return &wire.ResumeWritingResponse{Incarnation: n.incarnation, Held: held}, err
	})
}

func (n *node) ReleaseJournal(_ context.Context, r *wire.ReleaseJournalRequest) (*wire.ReleaseJournalResponse, error) {
	return answer(n, func() (*wire.ReleaseJournalResponse, error) {
		held, err := n.ended(retained, r.Operation)
		return &wire.ReleaseJournalResponse{Incarnation: n.incarnation, Held: held}, err
	})
}

func (n *node) EnterMaintenance(_ context.Context, r *wire.EnterMaintenanceRequest) (*wire.EnterMaintenanceResponse, error) {
	return answer(n, func() (*wire.EnterMaintenanceResponse, error) {
		k, err := n.holds.check(asked{operation: r.Operation, leaseMs: &r.LeaseMs})
		if err != nil {
			return nil, err
		}
		one, err := n.holds.begin(maintenance, k, r.LeaseMs)
		if err == nil && !one.taken {
			one.take()
		}
		return &wire.EnterMaintenanceResponse{Incarnation: n.incarnation}, err
	})
}

func (n *node) LeaveMaintenance(_ context.Context, r *wire.LeaveMaintenanceRequest) (*wire.LeaveMaintenanceResponse, error) {
	return answer(n, func() (*wire.LeaveMaintenanceResponse, error) {
		held, err := n.ended(maintenance, r.Operation)
		return &wire.LeaveMaintenanceResponse{Incarnation: n.incarnation, Held: held}, err
	})
}

func (n *node) ended(what kind, operation string) (bool, error) {
	k, err := n.holds.check(asked{operation: operation})
	if err != nil {
		return false, err
	}
	return n.holds.end(what, k, true)
}

func (n *node) Renew(_ context.Context, r *wire.RenewRequest) (*wire.RenewResponse, error) {
	return answer(n, func() (*wire.RenewResponse, error) {
		_, err := n.holds.check(asked{operation: r.Operation})
		if err == nil {
			n.holds.renew()
		}
		return &wire.RenewResponse{Held: n.held()}, err
	})
}

func (n *node) Release(_ context.Context, r *wire.ReleaseRequest) (*wire.ReleaseResponse, error) {
	return answer(n, func() (*wire.ReleaseResponse, error) {
		k, err := n.holds.check(asked{operation: r.Operation, others: true})
		if err == nil {
			n.holds.release(k.operation)
		}
		return &wire.ReleaseResponse{Incarnation: n.incarnation}, err
	})
}
