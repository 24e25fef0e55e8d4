package dynamo

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"defter/pkg/eventstore"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func claimItem(c eventstore.Claim) map[string]types.AttributeValue {
	item := keys(c.Key, claimKey)
	item["o"] = str(c.Owner)
	if len(c.Value) > 0 {
		item["v"] = &types.AttributeValueMemberB{Value: c.Value}
	}
	if !c.ExpiresAt.IsZero() {
		item["ttl"] = num(c.ExpiresAt.Unix())
	}
	return item
}

// record is one event inside a commit item, its names short because every byte is billed.
type record struct {
	Type       string          `json:"t"`
	Schema     int             `json:"v,omitempty"` // absent for 1
	OccurredAt *int64          `json:"o,omitempty"` // Unix milliseconds, absent if it is the time of recording
	Message    string          `json:"m,omitempty"`
	Span       int             `json:"n,omitempty"` // absent for one version
	Notes      []string        `json:"x,omitempty"`
	Data       json.RawMessage `json:"d,omitempty"`
}

// Marshal makes the commit's item.
func Marshal(c eventstore.Commit) (map[string]types.AttributeValue, error) {
	at := c.RecordedAt.UnixMilli()
	records := make([]record, len(c.Events))
	for i, e := range c.Events {
		records[i] = record{Type: e.Type, Message: e.Message, Span: e.Span, Notes: e.Notes, Data: e.Data}
		if e.Schema != 1 {
			records[i].Schema = e.Schema
		}
		if occurred := e.OccurredAt.UnixMilli(); occurred != at {
			records[i].OccurredAt = &occurred
		}
	}
	data, err := json.Marshal(records)
	if err != nil {
		return nil, fmt.Errorf("encode commit: %w", err)
	}
	item := keys(c.Stream, commitKey(c.First))
	item["i"], item["at"], item["e"] = str(c.ID), num(at), str(string(data))
	if c.Compacted > 0 {
		item["k"] = num(int64(c.Compacted))
	}
	if c.Sealed != nil {
		item["p"] = &types.AttributeValueMemberB{Value: c.Sealed}
	}
	for name, value := range map[string]string{"c": c.CorrelationID, "ca": c.CausationID, "a": c.Actor, "s": c.Source} {
		if value != "" {
			item[name] = str(value)
		}
	}
	return item, nil
}

// Unmarshal reads a commit from its item.
func Unmarshal(item map[string]types.AttributeValue) (eventstore.Commit, error) {
	return decode(func(name string) string { return text(item, name) }, func(name string) int64 { return number(item, name) }, blob(item, "p"))
}

// Decode reads a commit from its item's attributes, however they were encoded; streams have a notation of their own.
func Decode(text func(name string) string, sealed []byte) (eventstore.Commit, error) {
	return decode(text, func(name string) int64 {
		n, _ := strconv.ParseInt(text(name), 10, 64)
		return n
	}, sealed)
}

func decode(text func(string) string, number func(string) int64, sealed []byte) (eventstore.Commit, error) {
	stream, key := text("pk"), text("sk")
	if len(key) <= len(commitPrefix) || key[:len(commitPrefix)] != commitPrefix {
		return eventstore.Commit{}, fmt.Errorf("item %q is not a commit", key)
	}
	first, err := strconv.ParseInt(key[len(commitPrefix):], 10, 64)
	if err != nil {
		return eventstore.Commit{}, fmt.Errorf("item %q is not a commit: %w", key, err)
	}
	var records []record
	if err := json.Unmarshal([]byte(text("e")), &records); err != nil {
		return eventstore.Commit{}, fmt.Errorf("decode commit %d: %w", first, err)
	}
	at := number("at")
	c := eventstore.Commit{
		ID: text("i"), Stream: stream, First: first, RecordedAt: time.UnixMilli(at).UTC(), Sealed: sealed,
		CorrelationID: text("c"), CausationID: text("ca"), Actor: text("a"), Source: text("s"), Compacted: int(number("k")),
		Events: make([]eventstore.Record, len(records)),
	}
	for i, r := range records {
		if r.OccurredAt == nil {
			r.OccurredAt = &at
		}
		c.Events[i] = eventstore.Record{
			Type: r.Type, Schema: max(r.Schema, 1), OccurredAt: time.UnixMilli(*r.OccurredAt).UTC(), Message: r.Message, Notes: r.Notes, Span: r.Span, Data: r.Data,
		}
	}
	return c, nil
}

func commitKey(version int64) string { return fmt.Sprintf("%s%012d", commitPrefix, version) }

func keys(pk, sk string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"pk": str(pk), "sk": str(sk)}
}

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func num(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func text(item map[string]types.AttributeValue, name string) string {
	switch v := item[name].(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return v.Value
	}
	return ""
}

func number(item map[string]types.AttributeValue, name string) int64 {
	n, _ := strconv.ParseInt(text(item, name), 10, 64) // absent counts as 0
	return n
}

func blob(item map[string]types.AttributeValue, name string) []byte {
	if v, ok := item[name].(*types.AttributeValueMemberB); ok {
		return v.Value
	}
	return nil
}
