"""What every participant needs, whatever its role and its data: leases, tokens, repeats, and a gate.

It decides by docs/participant-table.md. All of it is done under one lock, `changed`; whoever waits for a change waits at
it.
"""

import contextlib
import math
import threading
import time

import grpc

Code = grpc.StatusCode
changed = threading.Condition(threading.RLock())


class Refused(Exception):
    def __init__(self, code, fact, hint):
        super().__init__(f"{fact}; hint: {hint}")
        self.code = code


class Hold:
    def __init__(self, key, lease_ms):
        self.key, self.lease = key, lease_ms / 1000
        self.taken = False  # A Quiesce that waits for rest holds others off already; it has no lease yet.
        self.busy = None  # What did not come to rest in time.
        self.answer = None  # What was answered once, for the call that comes again.

    def take(self):
        self.taken, self.until = True, time.monotonic() + self.lease
        changed.notify_all()


class Holds:
    """At most one hold of each kind (`quiesced`, …), all of one operation; and how those before have ended."""

    REMEMBERED = 1000

    def __init__(self, on_end):
        self.now, self.ended, self.newest, self.on_end = {}, {}, (0, 0, 0), on_end
        threading.Thread(target=self.watch, daemon=True).start()

    def key(self, request, token=False, lease=False, timeout=False, of_others_too=False):
        """Looks at a request in the order that the contract has. The operation, and of a rest also the token."""
        if not request.operation:
            raise Refused(Code.INVALID_ARGUMENT, "operation is missing", "name it")
        if token and not request.HasField("token"):
            raise Refused(Code.INVALID_ARGUMENT, "token is missing", "name it")
        if lease and not (request.lease_ms > 0 and math.isfinite(request.lease_ms)):
            raise Refused(Code.INVALID_ARGUMENT, "lease_ms is no positive time", "name one")
        if timeout and not (request.timeout_ms >= 0 and math.isfinite(request.timeout_ms)):
            raise Refused(Code.INVALID_ARGUMENT, "timeout_ms is no time", "name one")
        if self.operation() not in ("", request.operation) and not of_others_too:
            raise Refused(Code.ABORTED, f"operation {self.operation()} holds the process", "wait until it has ended")
        if not token:
            return request.operation, None
        attempt = (request.token.epoch, request.token.counter, request.token.attempt)
        if attempt < self.newest:
            raise Refused(Code.ABORTED, f"{attempt} is older than {self.newest}", "a newer attempt has the process")
        return request.operation, attempt

    def saw(self, key):
        """Of a call that is answered: a request that was refused has not been seen, its token included."""
        self.newest = max(self.newest, key[1])

    def operation(self):
        return next((hold.key[0] for hold in self.now.values()), "")

    def taken(self, kind):
        return kind in self.now and self.now[kind].taken

    def has(self, hold):
        return hold in self.now.values()

    def begin(self, kind, key, lease_ms):
        """A new hold, not taken yet; or the one that is there where the call came again: that changes nothing."""
        if (kind, key) in self.ended:
            raise Refused(Code.FAILED_PRECONDITION, f"{kind} has ended for {key}", "begin anew, with a newer token")
        hold = self.now.setdefault(kind, Hold(key, lease_ms))
        if hold.key != key:
            raise Refused(Code.FAILED_PRECONDITION, f"it is {kind} with another token", "resume that first")
        return hold

    def end(self, kind, key, in_time=True, forestall=True):
        """Whether it was held without a break until now. One that comes first forestalls its beginning."""
        hold = self.now.get(kind)
        if hold is not None and hold.key != key:
            raise Refused(Code.FAILED_PRECONDITION, f"it is {kind} with another token", "resume that first")
        if hold is not None:
            del self.now[kind]
            self.ended[kind, key] = in_time and hold.taken
            self.on_end(kind)
            changed.notify_all()
        elif forestall:
            self.ended.setdefault((kind, key), False)
        while len(self.ended) > self.REMEMBERED:
            del self.ended[next(iter(self.ended))]
        return self.ended.get((kind, key), False)

    def release(self, operation):
        for kind, hold in list(self.now.items()):
            if hold.key[0] == operation:
                self.end(kind, hold.key, in_time=False)

    def renew(self):
        for hold in self.now.values():
            if hold.taken:
                hold.take()

    def expire(self):
        """First in every call, too: a process that was stopped for a while must not say that it held."""
        for kind, hold in list(self.now.items()):
            if hold.taken and time.monotonic() >= hold.until:
                self.end(kind, hold.key, in_time=False)

    def watch(self):
        with changed:
            while True:
                self.expire()
                ends = [hold.until for hold in self.now.values() if hold.taken]
                changed.wait(max(0, min(ends) - time.monotonic()) if ends else None)


@contextlib.contextmanager
def answering(holds, context):
    try:
        with changed:
            holds.expire()
            yield
    except Refused as refused:
        context.abort(refused.code, str(refused))


class Gate:
    """In front of all that acknowledges, shows or logs. Who is inside when it closes comes out; the others wait."""

    def __init__(self, holds):
        self.holds, self.inside, self.reads_go_on = holds, [], True

    def is_closed(self, reads):
        if reads:
            return self.holds.taken("quiesced") and not self.reads_go_on
        return "quiesced" in self.holds.now

    @contextlib.contextmanager
    def entered(self, what, reads=False):
        with changed:
            changed.wait_for(lambda: not self.is_closed(reads))
            if not reads:
                self.inside.append(what)
        try:
            yield
        finally:
            with changed:
                if not reads:
                    self.inside.remove(what)
                changed.notify_all()

    def close(self, key, request):
        """Begins a rest, or waits with who has begun it. The hold is taken, or says what did not come to rest in time."""
        is_first = "quiesced" not in self.holds.now
        hold = self.holds.begin("quiesced", key, request.lease_ms)
        if is_first:
            changed.wait_for(lambda: not self.inside or not self.holds.has(hold), request.timeout_ms / 1000)
            if self.holds.has(hold) and self.inside:
                hold.busy = list(self.inside)
                del self.holds.now["quiesced"]
                changed.notify_all()
            elif self.holds.has(hold):
                self.reads_go_on = request.allow_reads
                hold.take()
        else:
            changed.wait_for(lambda: hold.taken or not self.holds.has(hold))
        if not self.holds.has(hold) and hold.busy is None:
            raise Refused(Code.ABORTED, "it was ended while it waited", "begin anew, with a newer token")
        self.holds.saw(key)
        return hold
