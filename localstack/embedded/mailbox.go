package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"defter/pkg/app"
	"defter/pkg/fault"
)

// maxMails is how many the mailbox shows, the newest.
const maxMails = 1000

// mailbox keeps emails as files, in a folder per customer so that they can be forgotten.
type mailbox struct{ dir string }

// Mail is an email as the mailbox shows it.
type Mail struct {
	To      string    `json:"to"`
	From    string    `json:"from"`
	Subject string    `json:"subject"`
	Text    string    `json:"text"`
	HTML    string    `json:"html"`
	SentAt  time.Time `json:"sentAt"`
}

func (m mailbox) provider(now func() time.Time) app.Provider { return delivery{m, now} }

// delivery puts emails into the mailbox. The file is named after the idempotency key: sent twice, it is there once.
type delivery struct {
	mailbox
	now func() time.Time
}

// refused begins the addresses whose mail the mailbox refuses, as a provider would that knows that nobody is there.
const refused = "refused."

func (d delivery) Send(_ context.Context, m app.Mail) (string, error) {
	if strings.HasPrefix(m.To, refused) {
		return "", fault.New(fault.Rejected, "provider-refused", "the mailbox refuses this address")
	}
	folder, id := filepath.Join(d.dir, fileName(m.CustomerID)), fileName(m.IdempotencyKey)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("mailbox: %w", err)
	}
	path := filepath.Join(folder, id+".json")
	if _, err := os.Stat(path); err == nil {
		return id, nil
	}
	data, err := json.MarshalIndent(Mail{To: m.To, From: m.From, Subject: m.Subject, Text: m.Text, HTML: m.HTML, SentAt: d.now().UTC()}, "", "  ")
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return "", fmt.Errorf("mailbox: %w", err)
	}
	return id, os.Rename(path+".new", path)
}

func (delivery) Idempotent() bool { return true }

func (d delivery) Forget(_ context.Context, customerID string) error {
	return os.RemoveAll(filepath.Join(d.dir, fileName(customerID)))
}

// list returns the mails, oldest first.
func (m mailbox) list() ([]Mail, error) {
	files, err := filepath.Glob(filepath.Join(m.dir, "*", "*.json"))
	if err != nil {
		return nil, err
	}
	mails := []Mail{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // forgotten meanwhile
		}
		var mail Mail
		if err := errors.Join(err, json.Unmarshal(data, &mail)); err != nil {
			return nil, fmt.Errorf("mailbox: %w", err)
		}
		mails = append(mails, mail)
	}
	slices.SortStableFunc(mails, func(a, b Mail) int { return a.SentAt.Compare(b.SentAt) })
	return mails[max(0, len(mails)-maxMails):], nil
}

func fileName(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}
