package app

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"defter/pkg/fault"
	"defter/pkg/view"
)

const ledgerPrefix = view.MessagePrefix

// The statuses of a ledger entry.
const (
	pending  = "pending"  // handed to the provider, or about to be
	retrying = "retrying" // the provider said: later
	sent     = "sent"
	withheld = "withheld"
	failed   = "failed"
	unknown  = "unknown" // handed over, and never answered: not sent again where that could send it twice
)

// MessageShown is an entry of the send ledger.
type MessageShown struct {
	MessageID      string    `json:"messageId"`
	Channel        string    `json:"channel" enum:"email,sms,push"`
	Campaign       string    `json:"campaign"`
	Template       string    `json:"template"`
	Status         string    `json:"status" enum:"pending,retrying,sent,withheld,failed,unknown"`
	Reason         string    `json:"reason,omitempty" description:"why it was withheld or failed"`
	IdempotencyKey string    `json:"idempotencyKey"`
	ProviderID     string    `json:"providerMessageId,omitempty"`
	CreatedAt      time.Time `json:"createdAt"`
	UpdatedAt      time.Time `json:"updatedAt"`

	attempt int64 // counts those who took it on, so that each attempt has one sender
}

func ledgerRow(stream string, m MessageShown) (view.Row, error) {
	data, err := json.Marshal(m)
	if err != nil {
		return view.Row{}, fmt.Errorf("encode ledger entry: %w", err)
	}
	return view.Row{PK: stream, SK: ledgerPrefix + m.IdempotencyKey, Version: m.attempt, Data: data}, nil
}

func messageOf(row view.Row) (MessageShown, error) {
	var m MessageShown
	if err := json.Unmarshal(row.Data, &m); err != nil {
		return m, fmt.Errorf("decode ledger entry: %w", err)
	}
	m.attempt = row.Version
	return m, nil
}

// enter makes the ledger entry of a message, or returns the one that is there.
func (a *App) enter(ctx context.Context, stream string, m MessageShown) (MessageShown, bool, error) {
	m.attempt = 1
	row, err := ledgerRow(stream, m)
	if err != nil {
		return m, false, err
	}
	created, err := a.Views.Table.Create(ctx, row)
	if err != nil || created {
		return m, created, err
	}
	row, ok, err := a.Views.Table.Get(ctx, stream, ledgerPrefix+m.IdempotencyKey)
	if err != nil || !ok {
		return m, false, err
	}
	m, err = messageOf(row)
	return m, false, err
}

// takeOn makes a message that is to be tried again pending, for one of those who try.
func (a *App) takeOn(ctx context.Context, stream string, m MessageShown) (MessageShown, error) {
	old := m.attempt
	m.Status, m.UpdatedAt, m.attempt = pending, a.Now().UTC(), old+1
	row, err := ledgerRow(stream, m)
	if err != nil {
		return m, err
	}
	ours, err := a.Views.Table.Replace(ctx, row, old, nil, nil)
	if err == nil && !ours {
		err = fault.New(fault.Busy, "message-under-way", "the message is being sent")
	}
	return m, err
}

func (a *App) update(ctx context.Context, stream string, m MessageShown) error {
	m.UpdatedAt = a.Now().UTC()
	row, err := ledgerRow(stream, m)
	if err != nil {
		return err
	}
	return a.Views.Table.Put(ctx, row)
}

func (a *App) ledgerPage(ctx context.Context, stream, cursor string, limit int) ([]MessageShown, string, error) {
	rows, next, err := a.Views.Table.List(ctx, stream, ledgerPrefix, cursor, limit, false)
	if err != nil {
		return nil, "", err
	}
	messages := make([]MessageShown, len(rows))
	for i, row := range rows {
		if messages[i], err = messageOf(row); err != nil {
			return nil, "", err
		}
	}
	slices.SortStableFunc(messages, func(a, b MessageShown) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return messages, next, nil
}
