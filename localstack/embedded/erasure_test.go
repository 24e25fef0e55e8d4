package embedded

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"defter/pkg/app"
	"defter/pkg/archive"
	"defter/pkg/fault"
	"defter/pkg/topology"
	"defter/pkg/view"
)

// secrets are what is personal in the story of somebody.
var secrets = []string{
	"ada.lovelace@mail.example", "ADA.LOVELACE", "augusta.king@mail.example", "third.address@mail.example", "Ada-Given", "Lovelace-Family", "Augusta-Given", "King-Family",
	"+44 20 7946 0018", "+44 20 7946 0019", "12 St James", "Square-Line", "Ockham-City", "SW1Y-Code", "1915-12-10", "203.0.113.77", "2001:db8::77",
	"Firefox-Agent", "by telephone", "red shoes for my sister", "orders/secret-path", "secret-referrer", "secret-attribute", "secret-trait", "secret-property",
	"Analytical Engines", "secret-quarantined", "secret-large", "My Account of Ada",
	"of-ada@chosen.example", "claimed-address@chosen.example", "of-ada-lovelace", "905550102030", "ada-lovelace-order",
}

// search returns the files below a folder in which a text stands, as it is or encoded, with the text.
func search(t testing.TB, dir string, texts ...string) []string {
	t.Helper()
	forms := map[string][]byte{}
	for _, text := range texts {
		forms[text] = []byte(text)
		forms[text+" in an address"] = []byte(url.QueryEscape(text))
		sum := sha256.Sum256([]byte(text)) // whose text can be guessed
		forms[text+" as a hash"] = []byte(hex.EncodeToString(sum[:]))
		forms[text+" in hexadecimal"] = []byte(hex.EncodeToString([]byte(text)))
		for before := range 3 { // wherever in the encoded bytes it begins
			padded := append(make([]byte, before), text...)
			for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
				inner := encoding.EncodeToString(padded)
				forms[fmt.Sprint(text, " in ", name, before)] = []byte(inner[(before*8+5)/6 : len(inner)-1])
			}
		}
	}
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil // as SQLite's own files come and go
		}
		if strings.HasSuffix(path, ".zst") {
			if data, err = archive.Folder(path).Read(); err != nil {
				return err
			}
		}
		for form, bytesOf := range forms {
			if bytes.Contains(data, bytesOf) {
				name, _ := filepath.Rel(dir, path)
				found = append(found, name+": "+form)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found
}

func TestSearchFindsWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	for i, before := range []string{"", "a", "ab", "abc"} {
		text := before + "ada.lovelace@mail.example" + before
		for name, data := range map[string]string{
			"plain": text, "hex": hex.EncodeToString([]byte(text)), "base64": base64.StdEncoding.EncodeToString([]byte(text)), "base64url": base64.URLEncoding.EncodeToString([]byte(text)),
		} {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(name, i)), []byte("…"+data+"…"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	files := map[string]bool{}
	for _, found := range search(t, dir, "ada.lovelace@mail.example") {
		file, _, _ := strings.Cut(found, ":")
		files[file] = true
	}
	if len(files) != 16 {
		t.Errorf("found in %d of 16 files: %v", len(files), files)
	}
	if found := search(t, dir, "grace"); len(found) > 0 {
		t.Errorf("found what is not there: %v", found)
	}
}

// After an erasure, not one byte of what was personal is left on the disk: not in the engine's files or its log of
// writes, not in the program's log, not in the mailbox.
func TestErasedToTheLastByte(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := program(t, dir)
	c := tell(s)
	for _, known := range []string{"PAYMENTS#local", c.id} { // the search sees into the engine's files
		if found := search(t, dir, known); !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, "sqlite") }) {
			t.Errorf("%s is not found in the database: %v", known, found)
		}
	}
	if found := search(t, filepath.Join(dir, "archive"), "PageViewed"); len(found) == 0 {
		t.Error("the search does not see into the archive")
	}
	if found := search(t, dir, secrets...); len(found) == 0 || slices.ContainsFunc(found, func(f string) bool { return !strings.HasPrefix(f, "mailbox") }) {
		t.Errorf("before, what is personal is in %v, want the mailbox alone", found)
	}

	c.with("Idempotency-Key", unique("key")).post(c.path("/erasure"), m{}).expect(200)
	eventually(t, "nothing left to do", func() bool { return s.get("/_local/stats").number("lag") == 0 })
	if found := search(t, dir, secrets...); len(found) > 0 {
		t.Errorf("while it runs: %v", found)
	}
	s.end(syscall.SIGKILL)
	if found := search(t, dir, secrets...); len(found) > 0 {
		t.Errorf("killed: %v", found)
	}

	s = program(t, dir) // and nothing brings it back
	c.story = s
	c.shown().refused(404, "customer-erased")
	s.post("/_local/rebuild", nil).expect(200).has("identical", true)
	s.advance("1000h")
	again := s.registers("email", "ada.lovelace@mail.example")
	s.mailed("ada.lovelace@mail.example", 1)
	again.post(again.path("/erasure"), m{}).expect(200)
	s.end(syscall.SIGTERM)
	if found := search(t, dir, secrets...); len(found) > 0 {
		t.Errorf("stopped: %v", found)
	}
	if found := search(t, dir, c.id); len(found) == 0 {
		t.Error("that somebody was erased is forgotten too")
	}
}

func TestWhatIsLeftOfTheErased(t *testing.T) {
	s := begin(t, func(c *Config) { c.OpaqueIDs = nil })
	c := tell(s)
	s.settled()
	visitors, _ := c.shown().at("visitors").([]any)
	c.post(c.path("/erasure"), m{}).expect(200)
	s.settled()

	for key := range s.items(topology.Views) {
		stream, row, _ := strings.Cut(key, " ")
		switch {
		case strings.HasSuffix(stream, "#v-77"), strings.HasSuffix(stream, "#u-88"): // who turned out to be somebody else
		case strings.HasPrefix(row, "AUDIT#"), strings.HasPrefix(stream, "COMPLIANCE#"), strings.HasPrefix(stream, "ERASED#"), stream == "PAYMENTS#local", strings.HasPrefix(stream, "QUARANTINE#"), strings.HasPrefix(stream, "QUARANTINED#"), stream == "CHECKPOINT": // the latter a keyed hash of a message's id
		case row == view.Profiles.Name, row == view.Consents.Name, row == view.Preferences.Name:
			if item := s.items(topology.Views)[key]; strings.Contains(item, `"p":`) || strings.Contains(item, "analytics") || strings.Contains(item, "shoes") {
				t.Errorf("left: %s %s", key, item)
			}
		case strings.HasPrefix(row, "TIMELINE#"):
			if item := s.items(topology.Views)[key]; !strings.Contains(item, "CustomerDataDeleted") {
				t.Errorf("left: %s %s", key, item)
			}
		default:
			t.Errorf("left: %s", key)
		}
	}
	for key, item := range s.items(topology.Events) {
		note := strings.HasSuffix(key, " S#record") && strings.Contains(item, "-1") && len(item) < 300 // that the stream has ended
		if strings.HasPrefix(key, "UNIQUE#email#") || strings.Contains(key, " S#") && !note {
			t.Errorf("left: %s", key)
		}
	}
	streams := []string{"CUSTOMER#" + c.id}
	for _, visitor := range visitors {
		streams = append(streams, fmt.Sprint("VISITOR#", visitor))
	}
	for _, stream := range streams {
		if item := s.items(topology.Keys)[stream+" #"]; !strings.Contains(item, "gone") || strings.Contains(item, `"w"`) {
			t.Errorf("the data key of %s: %s", stream, item)
		}
	}
	if boxes, err := os.ReadDir(filepath.Join(s.system.config.DataDir, "mailbox")); err != nil || len(boxes) > 0 {
		t.Errorf("the mailbox has %v %v", boxes, err)
	}
	for _, row := range s.itemsWith(topology.Views, "QUARANTINE#") { // what was about them cannot be opened
		if slices.ContainsFunc(streams, func(stream string) bool { return strings.Contains(row, stream) }) {
			continue
		}
		if !strings.Contains(row, quarantineSystem) {
			t.Errorf("quarantined for somebody else: %s", row)
		}
	}
	for _, secret := range secrets {
		if strings.Contains(logs.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
	s.registers("email", c.email)
}

// quarantineSystem is whose key seals what names nobody.
const quarantineSystem = "SYSTEM#quarantine"

// postponing is a provider that takes nothing while it is told not to.
type postponing struct {
	app.Provider
	busy atomic.Bool
	put  atomic.Int64 // off
}

func (p *postponing) Send(ctx context.Context, mail app.Mail) (string, error) {
	if p.busy.Load() {
		p.put.Add(1)
		return "", fault.New(fault.Busy, "provider-busy", "later")
	}
	return p.Provider.Send(ctx, mail)
}

func TestErasedWithMailsUnderWay(t *testing.T) {
	provider := new(postponing)
	provider.busy.Store(true)
	s := beginWith(t, func(s *System) { provider.Provider, s.App.Email = s.App.Email, provider })
	c := s.consents()
	eventually(t, "the mail is put off", func() bool { return provider.put.Load() > 0 })
	c.expectErased()
	provider.busy.Store(false)
	s.settled()
	c.expectMails()
	if rows := s.itemsWith(topology.Views, "CUSTOMER#"+c.id+" "); len(rows) > 0 {
		t.Errorf("left: %v", rows)
	}
	for key := range s.items(topology.Views) {
		if strings.Contains(key, "MSG#") {
			t.Errorf("the ledger remembers %s", key)
		}
	}
}

func (c customer) expectErased() {
	c.Helper()
	c.post(c.path("/erasure"), m{}).expect(200)
	c.shown().refused(404, "customer-erased")
}

// Customers who are erased while everything about them is still being worked on.
func TestErasedAtOnce(t *testing.T) {
	s := begin(t)
	replies := s.together(12, func(i int) *reply {
		return s.try("POST", "/v1/customers", m{"email": fmt.Sprintf("at-once-%d@mail.example", i), "marketingConsent": true, "termsAccepted": true})
	})
	for _, a := range s.together(12, func(i int) *reply {
		return s.try("POST", "/v1/customers/"+replies[i].text("customerId")+"/erasure", m{})
	}) {
		a.expect(200)
	}
	s.settled()
	s.advance("25h")
	s.settled()
	for i, a := range replies {
		c := customer{s, a.text("customerId"), fmt.Sprintf("at-once-%d@mail.example", i)}
		c.shown().refused(404, "customer-erased")
		c.expectMails()
	}
	for key, item := range s.items(topology.Views) {
		if strings.Contains(key, "MSG#") || strings.HasPrefix(key, "CONSENTED#") || strings.HasPrefix(key, "DUE#") {
			t.Errorf("left: %s %s", key, item)
		}
	}
	s.post("/_local/rebuild", nil).expect(200).has("identical", true)
}
