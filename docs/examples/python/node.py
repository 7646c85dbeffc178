"""A node of a data grid that takes part in checkpoints, in Python: docs/participant.md teaches what it does.

    pip install grpcio grpcio-tools
    PYTHONPATH=proto python node.py GRID NAME COPYSET HOST:PORT DATA SOCKET

It stores numbers. Clients speak lines at HOST:PORT, which stands in DATA/clients.port too: `write 7` is answered
with `written 7` or `refused 7`, `read` with all numbers, `scan` is work that goes on until its client hangs up.
The contract is served on the Unix socket SOCKET.
"""

import hashlib
import json
import os
import pathlib
import socketserver
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.protobuf.json_format import MessageToJson

from holds import Code, Gate, Holds, Refused, answering, changed

grid, name, copyset, address, data, socket_path = sys.argv[1:]
data = pathlib.Path(data).absolute()
wire, services = grpc.protos_and_services("participant.proto")


class Store:
    """Rows in memory; `live/table.json`, written by the write daemon now and then; and every row since in `live/journal/`."""

    def __init__(self):
        self.live, self.journal = data / "live", data / "live/journal"
        self.journal.mkdir(parents=True, exist_ok=True)
        self.rows, self.digest, self.suspended, self.writing, self.retained = set(), 0, False, False, False
        table = self.live / "table.json"
        self.identity = uuid.uuid4().hex
        if table.exists():
            saved = json.loads(table.read_text())
            self.identity = saved["identity"]
            for row in saved["rows"]:
                self.show(row)
        files = sorted(self.journal.iterdir())
        for file in files:  # What is behind the last line break was never acknowledged.
            for line in file.read_text().split("\n")[:-1]:
                self.show(int(line))
        self.number = int(files[-1].name) if files else 0
        self.table_has = int(files[0].name) - 1 if files else 0  # every journal file up to this number
        self.begin_file()

    def begin_file(self):
        self.number += 1
        self.file = open(self.journal / f"{self.number:010}", "xb", buffering=0)
        sync_directory(self.journal)

    def log(self, row):
        self.file.write(b"%d\n" % row)
        os.fdatasync(self.file.fileno())

    def show(self, row):
        if row not in self.rows:
            self.digest = (self.digest + int.from_bytes(hashlib.sha256(b"%d" % row).digest(), "big")) % 2**256
            self.rows.add(row)

    def content(self):  # Known at any time: nothing is counted through.
        return wire.Content(count=len(self.rows), digest=self.digest.to_bytes(32, "big"))

    def switch(self):
        """The mark: whatever was logged ends here, durable, in a file that never changes again."""
        file, length = f"{self.number:010}", os.fstat(self.file.fileno()).st_size
        self.file.close()
        self.begin_file()
        return file, length

    def first_needed(self):
        return f"{self.table_has + 1:010}"

    def write_table(self):
        """The write daemon. What it reads of the rows is what the files before the current one have, or more."""
        with changed:
            if self.suspended:
                return
            self.writing, rows, has = True, sorted(self.rows), self.number - 1
        new = data / "table.new"  # beside live/, which has whole files only
        with open(new, "w") as file:
            json.dump({"identity": self.identity, "rows": rows}, file)
            file.flush()
            os.fsync(file.fileno())
        new.rename(self.live / "table.json")
        sync_directory(self.live)
        with changed:
            self.writing, self.table_has = False, has
            if not self.suspended and not self.retained:
                for file in self.journal.iterdir():
                    if int(file.name) <= has:
                        file.unlink()
            changed.notify_all()


def on_end(kind):
    if kind == "writing_suspended":
        store.suspended = False
    if kind == "journal_retained":
        store.retained = False


class Participant(services.ParticipantServiceServicer):
    def Describe(self, request, context):
        with changed:
            holds.expire()
            held = wire.Held(operation=holds.operation(), **{kind: holds.taken(kind) for kind in holds.now})
            size = sum(file.stat().st_size for file in [*store.journal.iterdir(), *store.live.glob("*.json")])
            return wire.DescribeResponse(
                contract_version=1, grid=grid, name=name, role=wire.ROLE_NODE, incarnation=incarnation, version="1.0",
                address=address, data_directory=str(data), journal_directory="journal", copyset=copyset, primary=True,
                data_identity=store.identity, size_bytes=size, held=held, started_with=started_with,
            )  # fmt: skip

    def Health(self, request, context):
        return wire.HealthResponse(healthy=True)

    def Quiesce(self, request, context):
        with answering(holds, context):
            hold = gate.close(holds.key(request, token=True, lease=True, timeout=True), request)
            return wire.QuiesceResponse(
                incarnation=incarnation, quiesced=hold.busy is None, not_quiesced=hold.busy
            )

    def SwitchJournal(self, request, context):
        with answering(holds, context):
            key = holds.key(request, token=True)
            hold = holds.now.get("quiesced")
            if hold is None or hold.key != key or not hold.taken:
                raise Refused(Code.FAILED_PRECONDITION, "it is not quiesced with this token", "quiesce it first")
            holds.saw(key)
            hold.answer = hold.answer or (*store.switch(), store.content())
            file, length, content = hold.answer
            return wire.SwitchJournalResponse(
                incarnation=incarnation, journal_file=file, length=length, content=content
            )

    def Resume(self, request, context):
        with answering(holds, context):
            key = holds.key(request, token=True)
            held = holds.end("quiesced", key)
            holds.saw(key)
            cause = "" if held else "its lease was over, or it never was quiesced with this token"
            return wire.ResumeResponse(incarnation=incarnation, held=held, cause=cause)

    def SuspendWriting(self, request, context):
        with answering(holds, context):
            hold = holds.begin("writing_suspended", holds.key(request, lease=True), request.lease_ms)
            store.suspended = True
            changed.wait_for(lambda: not store.writing or not holds.has(hold))
            if not holds.has(hold):
                raise Refused(Code.ABORTED, "it was ended while it waited", "begin anew")
            if not hold.taken:
                hold.answer = store.first_needed()
                hold.take()
            return wire.SuspendWritingResponse(incarnation=incarnation, first_journal_file=hold.answer)

    def ResumeWriting(self, request, context):
        with answering(holds, context):
            key = holds.key(request, lease=request.retain_journal)
            if request.retain_journal and holds.taken("writing_suspended"):
                holds.begin("journal_retained", key, request.lease_ms).take()
                store.retained = True  # before the other ends: there is no moment between
            held = holds.end("writing_suspended", key)
            return wire.ResumeWritingResponse(incarnation=incarnation, held=held)

    def ReleaseJournal(self, request, context):
        with answering(holds, context):
            held = holds.end("journal_retained", holds.key(request), forestall=False)
            return wire.ReleaseJournalResponse(incarnation=incarnation, held=held)

    def EnterMaintenance(self, request, context):
        with answering(holds, context):
            hold = holds.begin("maintenance", holds.key(request, lease=True), request.lease_ms)
            if not hold.taken:
                hold.take()
            return wire.EnterMaintenanceResponse(incarnation=incarnation)

    def LeaveMaintenance(self, request, context):
        with answering(holds, context):
            held = holds.end("maintenance", holds.key(request))
            return wire.LeaveMaintenanceResponse(incarnation=incarnation, held=held)

    def Renew(self, request, context):
        with answering(holds, context):
            holds.key(request)
            holds.renew()
            return wire.RenewResponse(held=self.Describe(None, None).held)

    def Release(self, request, context):
        with answering(holds, context):
            operation, _ = holds.key(request, of_others_too=True)
            holds.release(operation)
            return wire.ReleaseResponse(incarnation=incarnation)


class Clients(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True

    def handle_error(self, request, client_address):
        pass  # It hung up.


class Client(socketserver.StreamRequestHandler):
    timeout = 60  # A client that does not read its answer must not keep the gate from closing.

    def handle(self):
        for line in self.rfile:
            verb, *row = line.decode().split()
            if verb == "write":
                self.write(int(row[0]))
            elif verb == "read":
                with gate.entered("a read", reads=True):
                    with changed:
                        rows = " ".join(map(str, store.rows))
                    self.wfile.write(f"{rows}\n".encode())
            elif verb == "scan":
                with gate.entered(f"a scan of {self.client_address[0]}"):
                    self.wfile.write(b"scanning\n")
                    self.rfile.read()

    def write(self, row):
        with gate.entered("a write"):  # logged, shown and acknowledged: all of it, or nothing before the rest
            with changed:
                refused = holds.taken("maintenance")
                if not refused:
                    store.log(row)
                    store.show(row)
            self.wfile.write(b"%s %d\n" % (b"refused" if refused else b"written", row))


def sync_directory(path):
    directory = os.open(path, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


store = Store()
started_with, incarnation = store.content(), uuid.uuid4().hex
holds = Holds(on_end)
gate = Gate(holds)
host, port = address.rsplit(":", 1)
clients = Clients((host, int(port)), Client)
threading.Thread(target=clients.serve_forever, daemon=True).start()
(data / "clients.port").write_text(str(clients.server_address[1]))
(data / "described.json").write_text(MessageToJson(Participant().Describe(None, None)))

server = grpc.server(ThreadPoolExecutor(16))
services.add_ParticipantServiceServicer_to_server(Participant(), server)
pathlib.Path(socket_path).unlink(missing_ok=True)
os.umask(0o177)  # The socket is for its owner only.
server.add_insecure_port(f"unix:{socket_path}")
server.start()
print("listening", flush=True)
os.umask(0o077)
while True:
    store.write_table()
    time.sleep(0.1)
