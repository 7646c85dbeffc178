"""What every participant needs, whatever its role and its data: leases, tokens, repeats, and a gate.

All of it is done under one lock, `changed`; whoever waits for a change waits at it.
"""

import contextlib
import threading
import time

import grpc

Code = grpc.StatusCode
changed = threading.Condition(threading.RLock())


class Refused(Exception):
    def __init__(self, code, fact, hint):
        super().__init__(f"{fact}; hint: {hint}")
        self.code = code


def must_be_lease(lease_ms):
    if not lease_ms > 0 or lease_ms == float("inf"):
        raise Refused(Code.INVALID_ARGUMENT, "lease_ms is no positive time", "name one")


class Holds:
    """What everybody writes: leases, tokens, repeats. A hold is of a kind (`quiesced`, …), an operation, and of a rest
    also a token; it ends when it is ended, or by itself. How it ended is remembered, for the call that comes again or late."""

    REMEMBERED = 1000  # far more than one operation has; an operation never comes back after its end

    def __init__(self, on_end):
        self.now, self.ended, self.newest, self.on_end = {}, {}, (0, 0, 0), on_end
        self.coming = []  # keys of what is not at rest yet, and waits to be
        threading.Thread(target=self.watch, daemon=True).start()

    def key(self, request, needs_token=False):
        if not request.operation:
            raise Refused(Code.INVALID_ARGUMENT, "operation is missing", "name it")
        if not needs_token:
            return request.operation, None
        if not request.HasField("token"):
            raise Refused(Code.INVALID_ARGUMENT, "token is missing", "name it")
        return request.operation, (request.token.epoch, request.token.counter, request.token.attempt)

    def may_come(self, key):
        """Everything that speaks against a call before its state does. Its token counts as seen when it is not refused."""
        operation, token = key
        self.must_be_free(operation)
        if token is None:
            return key
        if token < self.newest:
            raise Refused(Code.ABORTED, f"{token} is older than {self.newest}", "a newer attempt has the process")
        rests = [self.now["quiesced"]["key"]] if "quiesced" in self.now else self.coming
        if any(other != key for other in rests):
            raise Refused(Code.FAILED_PRECONDITION, "it rests with another token", "resume it first")
        return key

    def saw(self, token):
        self.newest = max(self.newest, token)

    def keys(self):
        """Of what is held, and of what still waits to be."""
        return [hold["key"] for hold in self.now.values()] + self.coming

    def must_be_free(self, operation):
        for other, _ in self.keys():
            if other != operation:
                raise Refused(Code.ABORTED, f"operation {other} holds the process", "wait until it has ended")

    def is_new(self, kind, key, lease_ms):
        """Whether it may be taken; False where the call came again and it is still held: that changes nothing."""
        must_be_lease(lease_ms)
        self.may_come(key)
        if (kind, key) in self.ended:
            raise Refused(Code.FAILED_PRECONDITION, f"{kind} of {key} has ended", "begin anew")
        if kind in self.now:
            if self.now[kind]["key"] == key:
                return False
            raise Refused(Code.FAILED_PRECONDITION, f"it is {kind} with another token", "resume it first")
        return True

    def take(self, kind, key, lease_ms):
        if not self.is_new(kind, key, lease_ms):
            return False
        self.now[kind] = {"key": key, "lease": lease_ms / 1000, "until": time.monotonic() + lease_ms / 1000}
        changed.notify_all()
        return True

    def holds(self, kind, key):
        return kind in self.now and self.now[kind]["key"] == key

    def end(self, kind, key, held=True):
        """Whether it was held without a break until now."""
        if self.holds(kind, key):
            del self.now[kind]
            self.ended[kind, key] = held
            if len(self.ended) > self.REMEMBERED:
                del self.ended[next(iter(self.ended))]
            self.on_end(kind)
            changed.notify_all()
        return self.ended.get((kind, key), False)

    def forestall(self, kind, key):
        """What is ended before it was begun is not begun any more."""
        self.ended.setdefault((kind, key), False)
        self.coming = [other for other in self.coming if other != key]
        changed.notify_all()

    def release(self, operation):
        """Ends all that the operation holds, and what it still waits for."""
        self.coming = [key for key in self.coming if key[0] != operation]
        changed.notify_all()
        for kind, hold in list(self.now.items()):
            if hold["key"][0] == operation:
                self.end(kind, hold["key"], held=False)

    def renew(self, operation):
        for hold in self.now.values():
            if hold["key"][0] == operation:
                hold["until"] = time.monotonic() + hold["lease"]
        changed.notify_all()

    def expire(self):
        """First in every call, too: a process that was stopped for a while must not say that it held."""
        for kind, hold in list(self.now.items()):
            if time.monotonic() >= hold["until"]:
                self.end(kind, hold["key"], held=False)

    def watch(self):
        with changed:
            while True:
                self.expire()
                next_end = min((hold["until"] for hold in self.now.values()), default=None)
                changed.wait(None if next_end is None else max(0, next_end - time.monotonic()))


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
        self.holds, self.inside, self.closing, self.reads_go_on = holds, [], 0, True

    def is_closed(self, reads):
        if reads and self.reads_go_on:
            return False
        return self.closing > 0 or "quiesced" in self.holds.now

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

    def close(self, timeout_ms, is_given_up):
        """What is still inside when the time is over; nothing where the gate is closed."""
        self.closing += 1
        changed.wait_for(lambda: not self.inside or is_given_up(), timeout_ms / 1000)
        self.closing -= 1
        changed.notify_all()
        return list(self.inside)
