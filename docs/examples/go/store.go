package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	wire "example/node/participant"
)

// Rows in memory; live/table.json, which the write daemon writes now and then; and every row since in live/journal/.
type store struct {
	data, live, journal string
	identity            string
	rows                map[int]bool
	digest              *big.Int
	file                *os.File
	number, tableHas    int // the journal file that grows, and the last of which the table has all
	writing             bool
	suspended, retained bool
}

type table struct {
	Identity string `json:"identity"`
	Rows     []int  `json:"rows"`
}

func openStore(data string) *store {
	live := filepath.Join(data, "live")
	s := &store{data: data, live: live, journal: filepath.Join(live, "journal"), rows: map[int]bool{}, digest: new(big.Int)}
	must(os.MkdirAll(s.journal, 0o700))
	s.identity = random()
	if text, err := os.ReadFile(filepath.Join(live, "table.json")); err == nil {
		var saved table
		must(json.Unmarshal(text, &saved))
		s.identity = saved.Identity
		for _, row := range saved.Rows {
			s.show(row)
		}
	}
	names := s.journalFiles()
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(s.journal, name))
		must(err)
		lines := strings.Split(string(text), "\n")
		for _, line := range lines[:len(lines)-1] { // What is behind the last line break was never acknowledged.
			row, err := strconv.Atoi(line)
			must(err)
			s.show(row)
		}
	}
	if len(names) > 0 {
		s.number, s.tableHas = numberOf(names[len(names)-1]), numberOf(names[0])-1
	}
	s.beginFile()
	return s
}

func (s *store) beginFile() {
	s.number++
	var err error
	s.file, err = os.OpenFile(filepath.Join(s.journal, nameOf(s.number)), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	must(err)
	syncDirectory(s.journal)
}

func (s *store) log(row int) {
	_, err := fmt.Fprintln(s.file, row)
	must(err)
	must(s.file.Sync())
}

func (s *store) show(row int) {
	if s.rows[row] {
		return
	}
	s.rows[row] = true
	sum := sha256.Sum256([]byte(strconv.Itoa(row)))
	s.digest.Add(s.digest, new(big.Int).SetBytes(sum[:]))
	s.digest.Mod(s.digest, new(big.Int).Lsh(big.NewInt(1), 256))
}

// Known at any time: nothing is counted through.
func (s *store) content() *wire.Content {
	return &wire.Content{Count: uint64(len(s.rows)), Digest: s.digest.FillBytes(make([]byte, 32))}
}

func (s *store) list() []int {
	rows := make([]int, 0, len(s.rows))
	for row := range s.rows {
		rows = append(rows, row)
	}
	return rows
}

// The mark: whatever was logged ends here, durable, in a file that never changes again.
func (s *store) switchJournal() (name string, length uint64) {
	about, err := s.file.Stat()
	must(err)
	must(s.file.Close())
	name = nameOf(s.number)
	s.beginFile()
	return name, uint64(about.Size())
}

func (s *store) firstNeeded() string { return nameOf(s.tableHas + 1) }

// The write daemon. What it reads of the rows is what the files before the current one have, or more.
func (s *store) writeTable() {
	mu.Lock()
	if s.suspended {
		mu.Unlock()
		return
	}
	s.writing = true
	has := s.number - 1
	saved := table{Identity: s.identity, Rows: s.list()}
	mu.Unlock()

	text, err := json.Marshal(saved)
	must(err)
	fresh := filepath.Join(s.data, "table.new") // beside live/, which has whole files only
	file, err := os.Create(fresh)
	must(err)
	_, err = file.Write(text)
	must(err)
	must(file.Sync())
	must(file.Close())
	must(os.Rename(fresh, filepath.Join(s.live, "table.json")))
	syncDirectory(s.live)

	mu.Lock()
	defer mu.Unlock()
	s.writing, s.tableHas = false, has
	if !s.suspended && !s.retained {
		for _, name := range s.journalFiles() {
			if numberOf(name) <= has {
				must(os.Remove(filepath.Join(s.journal, name)))
			}
		}
	}
	changed.Broadcast()
}

func (s *store) sizeBytes() (size uint64) {
	_ = filepath.WalkDir(s.live, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil {
			if about, err := entry.Info(); err == nil && !entry.IsDir() {
				size += uint64(about.Size())
			}
		}
		return nil
	})
	return size
}

func (s *store) journalFiles() (names []string) {
	entries, err := os.ReadDir(s.journal)
	must(err)
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	slices.Sort(names)
	return names
}

func nameOf(number int) string { return fmt.Sprintf("%010d", number) }

func numberOf(name string) int {
	number, err := strconv.Atoi(name)
	must(err)
	return number
}

func syncDirectory(path string) {
	directory, err := os.Open(path)
	must(err)
	must(directory.Sync())
	must(directory.Close())
}

func random() string {
	bytes := make([]byte, 16)
	_, _ = rand.Read(bytes)
	return hex.EncodeToString(bytes)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
