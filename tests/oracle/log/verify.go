// Verifies a log, or proofs of it, by the code of Go's checksum database (golang.org/x/mod/sumdb): none of ours is used.
//
//	verify log DIR VKEY [COSIGNER-VKEY...]      every file of a log, and its checkpoint; all cosigners named must have signed
//	verify proof FILE ENTRY VKEY                a tlog-proof of the entry in the second file
//	verify consistency FILE                     what a witness is asked: "old" size, root in base64, then the request
//
// Debian: golang-go, golang-golang-x-mod-dev; run with GO111MODULE=off GOPATH=/usr/share/gocode.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	if len(os.Args) < 3 {
		fail("verify log|proof|consistency ...")
	}
	switch args := os.Args[2:]; os.Args[1] {
	case "log":
		verifyLog(args[0], args[1], args[2:])
	case "proof":
		verifyProof(args[0], args[1], args[2])
	case "consistency":
		verifyConsistency(args[0])
	default:
		fail("unknown verb %s", os.Args[1])
	}
	fmt.Println("holds")
}

func fail(format string, args ...interface{}) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

func must(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func read(path string) []byte {
	data, err := os.ReadFile(path)
	must(err)
	return data
}

// cosigner verifies timestamped Ed25519 cosignatures (C2SP tlog-cosignature), which x/mod does not know.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func newCosigner(vkey string) cosigner {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		fail("malformed key %s", vkey)
	}
	typed, err := base64.StdEncoding.DecodeString(parts[2])
	must(err)
	if len(typed) != 33 || typed[0] != 4 {
		fail("not a cosigner's key: %s", vkey)
	}
	sum := sha256.Sum256([]byte(parts[0] + "\n" + string(typed)))
	hash := binary.BigEndian.Uint32(sum[:])
	if fmt.Sprintf("%08x", hash) != parts[1] {
		fail("the id of %s is another key's", vkey)
	}
	return cosigner{parts[0], hash, typed[1:]}
}

func (c cosigner) Name() string    { return c.name }
func (c cosigner) KeyHash() uint32 { return c.hash }
func (c cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 72 {
		return false
	}
	time := binary.BigEndian.Uint64(sig)
	text := fmt.Sprintf("cosignature/v1\ntime %d\n%s", time, msg)
	return ed25519.Verify(c.key, []byte(text), sig[8:])
}

// open verifies a checkpoint: the log and every cosigner must have signed it.
func open(msg []byte, vkey string, cosigners []string) (size int64, root tlog.Hash) {
	log, err := note.NewVerifier(vkey)
	must(err)
	verifiers := []note.Verifier{log}
	for _, key := range cosigners {
		verifiers = append(verifiers, newCosigner(key))
	}
	n, err := note.Open(msg, note.VerifierList(verifiers...))
	must(err)
	if len(n.Sigs) != len(verifiers) {
		fail("%d of %d signatures", len(n.Sigs), len(verifiers))
	}
	origin, size, root := parse(n.Text)
	if origin != log.Name() {
		fail("the origin is %s", origin)
	}
	return size, root
}

func parse(text string) (origin string, size int64, root tlog.Hash) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		fail("not origin, size and root: %q", text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	if strconv.FormatInt(size, 10) != lines[1] {
		fail("size %s", lines[1])
	}
	root, err = tlog.ParseHash(lines[2])
	must(err)
	return lines[0], size, root
}

func verifyLog(dir, vkey string, cosigners []string) {
	size, root := open(read(filepath.Join(dir, "checkpoint")), vkey, cosigners)
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			if index >= int64(len(hashes)) {
				return nil, fmt.Errorf("no hash %d", index)
			}
			found[i] = hashes[index]
		}
		return found, nil
	})
	seq := int64(0)
	for _, tile := range tiles(0, size) {
		rest := read(filepath.Join(dir, path(tile, "entries")))
		for i := 0; i < tile.W; i++ {
			if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
				fail("entry %d is cut off", seq)
			}
			length := int(binary.BigEndian.Uint16(rest))
			added, err := tlog.StoredHashes(seq, rest[2:2+length], reader)
			must(err)
			hashes = append(hashes, added...)
			rest = rest[2+length:]
			seq++
		}
		if len(rest) > 0 {
			fail("%s holds more than its entries", path(tile, "entries"))
		}
	}
	found, err := tlog.TreeHash(size, reader)
	must(err)
	if size > 0 && found != root {
		fail("the root of the entries is %v, the checkpoint's %v", found, root)
	}
	if size == 0 && root != tlog.Hash(sha256.Sum256(nil)) {
		fail("an empty log with root %v", root)
	}
	for level := 0; size>>(8*level) > 0; level++ {
		for _, tile := range tiles(level, size) {
			expected, err := tlog.ReadTileData(tile, reader)
			must(err)
			if name := path(tile, strconv.Itoa(level)); !bytes.Equal(read(filepath.Join(dir, name)), expected) {
				fail("%s holds other hashes", name)
			}
		}
	}
}

// tiles lists what a log of this size must have at a level.
func tiles(level int, size int64) (list []tlog.Tile) {
	count := size >> (8 * level)
	for n := int64(0); n*256 < count; n++ {
		width := 256
		if left := count - n*256; left < 256 {
			width = int(left)
		}
		list = append(list, tlog.Tile{H: 8, L: level, N: n, W: width})
	}
	return list
}

// path is that of C2SP tlog-tiles, which has no height and its own folder of entries.
func path(tile tlog.Tile, kind string) string {
	old := fmt.Sprintf("tile/8/%d/", tile.L)
	return "tile/" + kind + "/" + strings.TrimPrefix(tile.Path(), old)
}

func verifyProof(file, entry, vkey string) {
	text := string(read(file))
	at := strings.Index(text, "\n\n")
	if at < 0 {
		fail("no checkpoint")
	}
	size, root := open([]byte(text[at+2:]), vkey, nil)
	lines := strings.Split(text[:at], "\n")
	if len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" || !strings.HasPrefix(lines[1], "index ") {
		fail("not a proof")
	}
	index, err := strconv.ParseInt(lines[1][len("index "):], 10, 64)
	must(err)
	var proof tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		must(err)
		proof = append(proof, hash)
	}
	must(tlog.CheckRecord(proof, size, root, index, tlog.RecordHash(read(entry))))
}

func verifyConsistency(file string) {
	lines := strings.Split(string(read(file)), "\n")
	oldRoot, err := tlog.ParseHash(lines[0])
	must(err)
	old, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "old "), 10, 64)
	must(err)
	var proof tlog.TreeProof
	at := 2
	for ; lines[at] != ""; at++ {
		hash, err := tlog.ParseHash(lines[at])
		must(err)
		proof = append(proof, hash)
	}
	_, size, root := parse(strings.Join(lines[at+1:at+4], "\n") + "\n")
	must(tlog.CheckTree(proof, size, root, old, oldRoot))
}
