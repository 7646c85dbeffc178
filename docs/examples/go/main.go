// A node of a data grid that takes part in checkpoints, in Go: docs/participant.md teaches what it does.
//
//	go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12 google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
//	protoc -I proto --go_out=. --go-grpc_out=. --go_opt=module=example/node --go-grpc_opt=module=example/node \
//	  --go_opt=Mparticipant.proto=example/node/participant --go-grpc_opt=Mparticipant.proto=example/node/participant \
//	  participant.proto
//	go build && ./node GRID NAME COPYSET HOST:PORT DATA SOCKET
//
// It stores numbers. Clients speak lines at HOST:PORT, which stands in DATA/clients.port too: `write 7` is answered
// with `written 7` or `refused 7`, `read` with all numbers, `scan` is work that goes on until its client hangs up.
// The contract is served on the Unix socket SOCKET.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"

	wire "example/node/participant"
)

func main() {
	data, err := filepath.Abs(os.Args[5])
	must(err)
	s := openStore(data)
	h := &holds{now: map[kind]*hold{}, ended: map[ending]bool{}}
	h.onEnd = func(what kind) {
		s.suspended = s.suspended && what != suspended
		s.retained = s.retained && what != retained
	}
	n := &node{
		grid: os.Args[1], name: os.Args[2], copyset: os.Args[3], address: os.Args[4],
		incarnation: random(), startedWith: s.content(), store: s, holds: h,
		gate: &gate{holds: h, inside: map[int]string{}, readsGoOn: true},
	}
	go h.watch()
	clients, err := net.Listen("tcp", n.address)
	must(err)
	_, port, _ := net.SplitHostPort(clients.Addr().String())
	must(os.WriteFile(filepath.Join(data, "clients.port"), []byte(port), 0o600))
	go n.serveClients(clients)
	described, err := protojson.Marshal(n.describe())
	must(err)
	must(os.WriteFile(filepath.Join(data, "described.json"), described, 0o600))

	_ = os.Remove(os.Args[6])
	syscall.Umask(0o177) // The socket is for its owner only.
	socket, err := net.Listen("unix", os.Args[6])
	must(err)
	syscall.Umask(0o077)
	server := grpc.NewServer()
	wire.RegisterParticipantServiceServer(server, n)
	go func() { must(server.Serve(socket)) }()
	fmt.Println("listening")
	for range time.Tick(100 * time.Millisecond) {
		s.writeTable()
	}
}

func (n *node) serveClients(clients net.Listener) {
	for {
		client, err := clients.Accept()
		must(err)
		go func() {
			defer client.Close()
			lines := bufio.NewScanner(client)
			for lines.Scan() {
				n.serve(client, lines.Text())
			}
		}()
	}
}

func (n *node) serve(client net.Conn, line string) {
	// A client that does not read its answer must not keep the gate from closing.
	say := func(text string) {
		_ = client.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = fmt.Fprintln(client, text)
	}
	verb, number, _ := strings.Cut(line, " ")
	switch verb {
	case "write": // logged, shown and acknowledged: all of it, or nothing before the rest
		defer n.gate.enter("a write", false)()
		row, err := strconv.Atoi(number)
		mu.Lock()
		isRefused := err != nil || n.holds.taken(maintenance)
		if !isRefused {
			n.store.log(row)
			n.store.show(row)
		}
		mu.Unlock()
		if isRefused {
			say("refused " + number)
		} else {
			say("written " + number)
		}
	case "read":
		defer n.gate.enter("a read", true)()
		mu.Lock()
		rows := fmt.Sprint(n.store.list())
		mu.Unlock()
		say(strings.Trim(rows, "[]"))
	case "scan":
		defer n.gate.enter("a scan of "+client.RemoteAddr().String(), false)()
		say("scanning")
		_, _ = io.Copy(io.Discard, client)
	}
}
