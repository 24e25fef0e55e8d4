// Package local is a payment provider that moves no money: what it answers is written in the payment's token, so that every
// failure can be seen at work. Three words: a script is a list of outcomes, one for each attempt, the last for all that
// follow; lost is an outcome that happens and whose answer does not arrive; the ledger keeps each outcome under its key.
package local

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"defter/pkg/payment"
	"defter/pkg/view"
)

const partition = "PAYMENTS#local"

// Provider answers by the token: "ok" or nothing succeeds; "card_declined" and the other codes are declined; RATE_LIMIT, TIMEOUT
// and SERVICE_UNAVAILABLE are declined for the moment; "lost" succeeds, and says so only when asked again; "pending", of a refund, is
// on its way. Outcomes of several attempts are separated by commas, and those of refunds of the charge stand behind a semicolon:
// "TIMEOUT,ok;lost,ok". Whatever else a token says is declined as "unknown_token" and kept nowhere: it may be somebody's.
type Provider struct{ Table view.Table }

// entry is one line of the ledger.
type entry struct {
	Code          string `json:"code,omitempty"` // "" for moved
	Pending       bool   `json:"pending,omitempty"`
	TransactionID string `json:"transactionId,omitempty"`
	Key           string `json:"key,omitempty"`     // of what moved, or is on its way
	Refunds       string `json:"refunds,omitempty"` // the script of a charge's refunds
	AmountMinor   int64  `json:"amountMinor"`
	Currency      string `json:"currency"`
}

// errLost: the answer did not arrive.
var errLost = errors.New("the connection to the provider was lost")

// Charge implements payment.Provider.
func (p Provider) Charge(ctx context.Context, c payment.Charge) (string, error) {
	script, refunds, _ := strings.Cut(c.Token, ";")
	return p.move(ctx, "charge#"+c.Key, "tx_", outcome(script, c.Attempt), entry{Refunds: known(refunds), AmountMinor: c.AmountMinor, Currency: c.Currency})
}

// Refund implements payment.Provider.
func (p Provider) Refund(ctx context.Context, r payment.Refund) (string, error) {
	row, ok, err := p.Table.Get(ctx, partition, r.TransactionID)
	if err != nil {
		return "", fmt.Errorf("ledger: %w", err)
	}
	var charge entry
	if !ok || json.Unmarshal(row.Data, &charge) != nil {
		return "", &payment.Declined{Code: "no_such_charge"}
	}
	if r.PendingID != "" {
		return p.arrive(ctx, r.PendingID, outcome(charge.Refunds, r.Attempt))
	}
	return p.move(ctx, "refund#"+r.Key, "re_", outcome(charge.Refunds, r.Attempt), entry{AmountMinor: r.AmountMinor, Currency: r.Currency})
}

// arrive says what became of a refund that was on its way.
func (p Provider) arrive(ctx context.Context, id, outcome string) (string, error) {
	row, ok, err := p.Table.Get(ctx, partition, id)
	if err != nil {
		return "", fmt.Errorf("ledger: %w", err)
	}
	var e entry
	if !ok || json.Unmarshal(row.Data, &e) != nil {
		return "", &payment.Declined{Code: "no_such_refund"}
	}
	if e.Pending && outcome != "pending" {
		if e.Pending = false; outcome != "ok" {
			e.Code = outcome
		}
		if row.Data, err = json.Marshal(e); err != nil {
			return "", err
		}
		for _, sk := range []string{id, e.Key} {
			if err := p.Table.Put(ctx, view.Row{PK: partition, SK: sk, Data: row.Data}); err != nil {
				return "", fmt.Errorf("ledger: %w", err)
			}
		}
	}
	return e.answer()
}

// answer is what the provider says of an entry.
func (e entry) answer() (string, error) {
	switch {
	case e.Pending:
		return "", &payment.Pending{TransactionID: e.TransactionID}
	case e.Code != "":
		return "", &payment.Declined{Code: e.Code}
	}
	return e.TransactionID, nil
}

func (p Provider) move(ctx context.Context, key, prefix, outcome string, e entry) (string, error) {
	switch outcome {
	case "ok", "lost", "pending":
		sum := sha256.Sum256([]byte(key))
		e.TransactionID, e.Key, e.Pending = prefix+hex.EncodeToString(sum[:8]), key, outcome == "pending"
	default:
		e.Code = outcome
	}
	data, err := json.Marshal(e)
	if err != nil {
		return "", err
	}
	if e.Code == "" { // by its transaction, for its refunds
		if err := p.Table.Put(ctx, view.Row{PK: partition, SK: e.TransactionID, Data: data}); err != nil {
			return "", fmt.Errorf("ledger: %w", err)
		}
	}
	created, err := p.Table.Create(ctx, view.Row{PK: partition, SK: key, Data: data})
	if err != nil {
		return "", fmt.Errorf("ledger: %w", err)
	}
	if !created { // asked for before: the same answer
		row, _, err := p.Table.Get(ctx, partition, key)
		if err != nil {
			return "", fmt.Errorf("ledger: %w", err)
		}
		if err := json.Unmarshal(row.Data, &e); err != nil {
			return "", fmt.Errorf("ledger: %w", err)
		}
	} else if outcome == "lost" {
		return "", errLost
	}
	return e.answer()
}

// outcomes are all that a script may say.
var outcomes = []string{"ok", "lost", "pending", "card_declined", "account_closed", "RATE_LIMIT", "TIMEOUT", "SERVICE_UNAVAILABLE"}

const unknownToken = "unknown_token"

// known is a script with the outcomes that there are; any other is unknownToken.
func known(script string) string {
	if script == "" {
		return ""
	}
	said := strings.Split(script, ",")
	for i, o := range said {
		if said[i] = strings.TrimSpace(o); said[i] == "" {
			said[i] = "ok"
		} else if !slices.Contains(outcomes, said[i]) {
			said[i] = unknownToken
		}
	}
	return strings.Join(said, ",")
}

// outcome is what a script says of an attempt.
func outcome(script string, attempt int) string {
	said := strings.Split(known(script), ",")
	return cmp.Or(said[min(max(attempt, 1), len(said))-1], "ok")
}

// Moved is what the ledger of charges less refunds comes to, by currency: what a test holds against the books.
func (p Provider) Moved(ctx context.Context) (map[string]int64, error) {
	moved := map[string]int64{}
	for _, kind := range []struct {
		prefix string
		sign   int64
	}{{"charge#", 1}, {"refund#", -1}} {
		for cursor := ""; ; {
			rows, next, err := p.Table.List(ctx, partition, kind.prefix, cursor, 500, false)
			if err != nil {
				return nil, err
			}
			for _, row := range rows {
				var e entry
				if err := json.Unmarshal(row.Data, &e); err != nil {
					return nil, err
				}
				if e.Code == "" && !e.Pending {
					moved[e.Currency] += kind.sign * e.AmountMinor
				}
			}
			if cursor = next; next == "" {
				break
			}
		}
	}
	return moved, nil
}
