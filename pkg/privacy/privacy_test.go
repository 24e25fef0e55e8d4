package privacy_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/eventstore/storetest/dynamotest"
	"defter/pkg/meter"
	"defter/pkg/privacy"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

func TestMain(m *testing.M) { os.Exit(dynamotest.Keep(m)) }

// world is a table of keys and a master key, at which processes can be started.
type world struct {
	client *dynamodb.Client
	table  string
	master privacy.Master
	mu     sync.Mutex
	now    time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	client := dynamotest.Client(t)
	return &world{client: client, table: dynamotest.Table(t, client), master: keyFile(t), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func keyFile(t *testing.T) privacy.Master {
	t.Helper()
	master, err := privacy.OpenKeyFile(filepath.Join(t.TempDir(), "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	return master
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// process is a keyring that remembers nothing.
func (w *world) process() *privacy.Keyring {
	return privacy.NewKeyring(meter.Client{API: w.client}, w.table, w.master, w.clock)
}

const owner, place = "CUSTOMER#1", "E#1"

func seal(t *testing.T, k *privacy.Keyring, owner, place, plaintext string) []byte {
	t.Helper()
	sealed, err := k.Seal(t.Context(), owner, place, []byte(plaintext))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// TestSealAndOpen: what one process sealed another one opens, and the same sealed again is the same to the byte.
func TestSealAndOpen(t *testing.T) {
	w := newWorld(t)
	for _, plaintext := range []string{"", "ada@example.com", strings.Repeat("ş", 100_000)} {
		sealed := seal(t, w.process(), owner, place, plaintext)
		if opened, err := w.process().Open(t.Context(), owner, place, sealed); err != nil || string(opened) != plaintext {
			t.Errorf("%d bytes came back as %d, %v", len(plaintext), len(opened), err)
		}
		if plaintext != "" && bytes.Contains(sealed, []byte(plaintext[:1+len(plaintext)/2])) {
			t.Errorf("%.20q is readable", plaintext)
		}
		if again := seal(t, w.process(), owner, place, plaintext); !bytes.Equal(again, sealed) {
			t.Errorf("sealed again, %.20q is another", plaintext)
		}
	}
}

// TestSealingIsBound to its owner and its place, and to every byte.
func TestSealingIsBound(t *testing.T) {
	k := newWorld(t).process()
	sealed := seal(t, k, owner, place, "ada@example.com")
	others := map[string][]byte{
		"another place": seal(t, k, owner, "E#2", "ada@example.com"), "another owner": seal(t, k, "CUSTOMER#2", place, "ada@example.com"),
		"another text": seal(t, k, owner, place, "bob@example.com"),
	}
	for what, other := range others {
		if bytes.Equal(other, sealed) {
			t.Errorf("%s, and the same when sealed", what)
		}
	}
	changed := bytes.Clone(sealed)
	changed[len(changed)-1] ^= 1
	for what, open := range map[string]func() ([]byte, error){
		"in another place":    func() ([]byte, error) { return k.Open(t.Context(), owner, "E#2", sealed) },
		"by another owner":    func() ([]byte, error) { return k.Open(t.Context(), "CUSTOMER#2", place, sealed) },
		"by one without keys": func() ([]byte, error) { return k.Open(t.Context(), "CUSTOMER#3", place, sealed) },
		"with a bit changed":  func() ([]byte, error) { return k.Open(t.Context(), owner, place, changed) },
		"cut short":           func() ([]byte, error) { return k.Open(t.Context(), owner, place, sealed[:10]) },
		"empty":               func() ([]byte, error) { return k.Open(t.Context(), owner, place, nil) },
	} {
		if opened, err := open(); err == nil || errors.Is(err, eventstore.ErrErased) {
			t.Errorf("opened %s: %q, %v", what, opened, err)
		}
	}
}

// TestB84_DestroyedKeysAreGone: nothing opens any more what was sealed, and there is never a new key for the owner.
func TestB84_DestroyedKeysAreGone(t *testing.T) {
	w := newWorld(t)
	k, other := w.process(), w.process()
	sealed := seal(t, k, owner, place, "ada@example.com")
	bystander := seal(t, k, "CUSTOMER#2", place, "bob@example.com")
	if _, err := other.Open(t.Context(), owner, place, sealed); err != nil {
		t.Fatal(err)
	}
	for range 2 { // asked again, it is done
		if err := k.Destroy(t.Context(), owner); err != nil {
			t.Fatal(err)
		}
	}
	gone := func(what string, k *privacy.Keyring) {
		t.Helper()
		if opened, err := k.Open(t.Context(), owner, place, sealed); !errors.Is(err, eventstore.ErrErased) {
			t.Errorf("%s opens: %q, %v", what, opened, err)
		}
		if _, err := k.Seal(t.Context(), owner, place, []byte("again")); !errors.Is(err, eventstore.ErrErased) {
			t.Errorf("%s seals: %v", what, err)
		}
	}
	gone("the process that destroyed it", k)
	gone("a new process", w.process())
	if _, err := other.Open(t.Context(), owner, place, sealed); err != nil {
		t.Errorf("another process, within a minute: %v", err)
	}
	w.pass(61 * time.Second)
	gone("another process, a minute later", other)
	w.pass(10 * 365 * 24 * time.Hour)
	gone("a new process, ten years later", w.process())
	if opened, err := w.process().Open(t.Context(), "CUSTOMER#2", place, bystander); err != nil || string(opened) != "bob@example.com" {
		t.Errorf("somebody else's: %q, %v", opened, err)
	}

	if err := k.Destroy(t.Context(), "CUSTOMER#3"); err != nil { // who never had a key
		t.Fatal(err)
	}
	if _, err := w.process().Seal(t.Context(), "CUSTOMER#3", place, nil); !errors.Is(err, eventstore.ErrErased) {
		t.Errorf("sealed for an owner erased before anything was: %v", err)
	}
}

// TestB84_NothingOfADestroyedKeyIsLeft in the table that would help somebody with the master key.
func TestB84_NothingOfADestroyedKeyIsLeft(t *testing.T) {
	w := newWorld(t)
	seal(t, w.process(), owner, place, "ada@example.com")
	if err := w.process().Destroy(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	out, err := w.client.Scan(t.Context(), &dynamodb.ScanInput{TableName: &w.table})
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, item := range out.Items {
		key, err := json.Marshal(item["pk"])
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(key), owner) {
			continue
		}
		found = true
		for name := range item {
			if name != "pk" && name != "sk" && name != "gone" {
				t.Errorf("the item keeps %s", name)
			}
		}
	}
	if !found {
		t.Error("nothing keeps the owner from getting a new key")
	}
}

// TestOneKeyForEach: processes that make an owner's key at once agree on one, and those that make the first of all.
func TestOneKeyForEach(t *testing.T) {
	w := newWorld(t)
	const n = 8
	sealed, lookups := make([][]byte, n), make([]string, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			var err, err2 error
			k := w.process()
			sealed[i], err = k.Seal(t.Context(), owner, place, []byte("ada@example.com"))
			lookups[i], err2 = k.Lookup(t.Context(), "email", "ada@example.com")
			if err := errors.Join(err, err2); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for i := range n {
		if !bytes.Equal(sealed[i], sealed[0]) || lookups[i] != lookups[0] {
			t.Errorf("process %d has a key of its own", i)
		}
	}
}

// TestOneKeyringAtOnce: it is safe for concurrent use.
func TestOneKeyringAtOnce(t *testing.T) {
	k := newWorld(t).process()
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			who := fmt.Sprint("CUSTOMER#", i%4)
			sealed, err := k.Seal(t.Context(), who, place, []byte(who))
			if err != nil {
				t.Error(err)
				return
			}
			if opened, err := k.Open(t.Context(), who, place, sealed); err != nil || string(opened) != who {
				t.Errorf("%s: %q, %v", who, opened, err)
			}
		})
	}
	group.Wait()
}

// TestB84_LookupsAreKeyed: they are the same for every process and after a restart, tell kinds and values apart, and
// cannot be worked out without the key: not of an empty value either.
func TestB84_LookupsAreKeyed(t *testing.T) {
	w := newWorld(t)
	hash := func(k *privacy.Keyring, kind, value string) string {
		t.Helper()
		h, err := k.Lookup(t.Context(), kind, value)
		if err != nil || len(h) != 22 {
			t.Fatalf("%q, %v", h, err)
		}
		return h
	}
	ada := hash(w.process(), "email", "ada@example.com")
	if again := hash(w.process(), "email", "ada@example.com"); again != ada {
		t.Errorf("%s, and %s for another process", ada, again)
	}
	seen := map[string]string{ada: "email"}
	for kind, value := range map[string]string{"id": "ada@example.com", "email ": "ada@example.com", "email\x00": "ada@example.com", "mail": "", "e": "mail\x00ada@example.com"} {
		h := hash(w.process(), kind, value)
		if other, twice := seen[h]; twice {
			t.Errorf("%q and %q are the same", kind, other)
		}
		seen[h] = kind
	}
	for _, value := range []string{"", "ada@example.com"} {
		h := hash(w.process(), "email", value)
		for _, guess := range []string{value, "email" + value, "email\x00" + value} {
			sum := sha256.Sum256([]byte(guess))
			if strings.HasPrefix(base64.RawURLEncoding.EncodeToString(sum[:]), h[:8]) || strings.HasPrefix(h, hex.EncodeToString(sum[:])[:8]) {
				t.Errorf("the hash of %q can be worked out: %s", value, h)
			}
		}
	}
	elsewhere := newWorld(t)
	if h := hash(elsewhere.process(), "email", "ada@example.com"); h == ada {
		t.Error("two systems have the same lookups")
	}
}

// TestTokens can be made again from what they are for, and are neither lookups nor short.
func TestTokens(t *testing.T) {
	w := newWorld(t)
	token := func(purpose, subject string) string {
		t.Helper()
		made, err := w.process().Token(t.Context(), purpose, subject)
		if err != nil || len(made) != 32 {
			t.Fatalf("%q, %v", made, err)
		}
		return made
	}
	a := token("email-verification", "v1")
	if token("email-verification", "v1") != a || token("email-verification", "v2") == a || token("password", "v1") == a {
		t.Error("tokens do not follow what they are for")
	}
	if h, err := w.process().Lookup(t.Context(), "email-verification", "v1"); err != nil || strings.HasPrefix(a, h[:8]) {
		t.Errorf("a lookup %q gives the token %q away, %v", h, a, err)
	}
}

// TestAnotherMasterOpensNothing: whoever has the table alone has nothing.
func TestAnotherMasterOpensNothing(t *testing.T) {
	w := newWorld(t)
	sealed := seal(t, w.process(), owner, place, "ada@example.com")
	if _, err := w.process().Lookup(t.Context(), "email", "ada@example.com"); err != nil {
		t.Fatal(err)
	}
	w.master = keyFile(t)
	if opened, err := w.process().Open(t.Context(), owner, place, sealed); err == nil || errors.Is(err, eventstore.ErrErased) {
		t.Errorf("opened: %q, %v", opened, err)
	}
	if h, err := w.process().Lookup(t.Context(), "email", "ada@example.com"); err == nil {
		t.Errorf("looked up: %q", h)
	}
}

func TestReachable(t *testing.T) {
	w := newWorld(t)
	if err := w.process().Reachable(t.Context()); err != nil {
		t.Error(err)
	}
	w.table = "test-none"
	if err := w.process().Reachable(t.Context()); err == nil {
		t.Error("a table that is not there is reachable")
	}
	for _, err := range []error{
		second(w.process().Seal(t.Context(), owner, place, nil)), second(w.process().Open(t.Context(), owner, place, nil)), w.process().Destroy(t.Context(), owner),
	} {
		if err == nil || errors.Is(err, eventstore.ErrErased) {
			t.Errorf("without a table: %v", err)
		}
	}
}

func second(_ []byte, err error) error { return err }

// TestKeysAreReadOnce: what a process has in memory costs no request, and the oldest keys make room.
func TestKeysAreReadOnce(t *testing.T) {
	w := newWorld(t)
	total := new(meter.Meter)
	k := privacy.NewKeyring(meter.Client{API: w.client, Total: total}, w.table, w.master, w.clock)
	seal(t, k, owner, place, "a")
	before := total.Cost().Requests
	for range 100 {
		seal(t, k, owner, place, "a")
	}
	if n := total.Cost().Requests - before; n != 0 {
		t.Errorf("%d requests for a key in memory", n)
	}
	w.pass(61 * time.Second)
	seal(t, k, owner, place, "a")
	if n := total.Cost().Requests - before; n != 1 {
		t.Errorf("%d requests a minute later, want one", n)
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	made, err := privacy.OpenKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	wrapped, err := made.Wrap(t.Context(), "KEK#0", []byte("a key"))
	if err != nil || bytes.Contains(wrapped, []byte("a key")) {
		t.Fatalf("%q, %v", wrapped, err)
	}
	again, err := privacy.OpenKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if key, err := again.Unwrap(t.Context(), "KEK#0", wrapped); err != nil || string(key) != "a key" {
		t.Errorf("%q, %v", key, err)
	}
	if key, err := again.Unwrap(t.Context(), "KEK#1", wrapped); err == nil { // in the place of another
		t.Errorf("unwrapped under another name: %q", key)
	}
	if key, err := keyFile(t).Unwrap(t.Context(), "KEK#0", wrapped); err == nil {
		t.Errorf("another master key unwraps it: %q", key)
	}

	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := privacy.OpenKeyFile(path); err == nil {
		t.Error("a damaged file is a key")
	}
	if raw, err := os.ReadFile(path); err != nil || string(raw) != "short" {
		t.Errorf("a damaged file was written over: %q, %v", raw, err)
	}
	if _, err := privacy.OpenKeyFile(filepath.Join(path, "below", "a file")); err == nil {
		t.Error("a file that cannot be made is a key")
	}
}

// TestPersonalRedactsItself, wherever it is written to, and however.
func TestPersonalRedactsItself(t *testing.T) {
	const secret = "ada@example.com"
	email := privacy.Personal(secret)
	type customer struct {
		ID    string
		Email privacy.Personal
	}
	whole := customer{"c1", email}
	var written []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10.3s", "%-20v"} {
		for _, value := range []any{email, &email, whole, &whole, []privacy.Personal{email}, map[string]privacy.Personal{"email": email}, map[privacy.Personal]int{email: 1}} {
			written = append(written, fmt.Sprintf(verb, value))
		}
	}
	written = append(written, fmt.Sprint(email), fmt.Errorf("no mail to %v", email).Error(), email.String())
	for _, value := range []any{email, whole, []privacy.Personal{email}, map[string]privacy.Personal{"email": email}} {
		raw, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		written = append(written, string(raw))
		for _, handler := range []func(*bytes.Buffer) slog.Handler{
			func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) }, func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var b bytes.Buffer
			log := slog.New(handler(&b)).With("with", value)
			log.InfoContext(context.Background(), "registered", "email", value, slog.Group("customer", "email", value))
			written = append(written, b.String())
		}
	}
	for _, text := range written {
		for _, leak := range []string{secret, "ada", hex.EncodeToString([]byte("ada")), strings.ToUpper(hex.EncodeToString([]byte("ada")))} {
			if strings.Contains(text, leak) {
				t.Errorf("readable in %s", text)
			}
		}
	}
	if text := fmt.Sprint(email); text != "[personal]" {
		t.Errorf("%q", text)
	}
	if string(email) != secret {
		t.Error("the value is lost")
	}
}

var _ eventstore.Vault = (*privacy.Keyring)(nil)
