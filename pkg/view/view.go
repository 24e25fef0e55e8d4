// Package view keeps the read models: rows folded from events, which can be thrown away and made again. Three words: a
// document is one row per stream that keeps the version it has folded; a line is one row per commit or event, written
// once; a lookup is a row derived from a document, found by something other than the customer.
//
// The version rule of documents: an event at or below the row's version is dropped, the next one is applied, and across
// a gap the missing ones are read from the store first. So row = fold(events up to its version) however often, late or
// out of order events are delivered, and replay and live may overlap.
package view

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/meter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

const (
	maxAttempts = 6   // of a write that others overtake
	batchWrite  = 25  // items per request, DynamoDB's limit
	batchRead   = 100 // likewise
)

// Row is one row of a view.
type Row struct {
	PK, SK  string
	Version int64  // of the last event folded, 0 for rows that keep none
	Data    []byte // JSON without anything personal
	Sealed  []byte // the personal part, sealed; nil for none
	TTL     int64  // Unix seconds, 0 for never
}

// Table is the views' DynamoDB table.
type Table struct {
	Client meter.API
	Name   string
}

// Get returns a row, strongly consistent; ok is false if there is none.
func (t Table) Get(ctx context.Context, pk, sk string) (Row, bool, error) {
	out, err := t.Client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &t.Name, Key: key(pk, sk), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return Row{}, false, fmt.Errorf("read view: %w", err)
	}
	if out.Item == nil {
		return Row{}, false, nil
	}
	return RowOf(out.Item), true, nil
}

// GetMany returns the rows that exist of those named, by "pk\x00sk", strongly consistent.
func (t Table) GetMany(ctx context.Context, keys [][2]string) (map[[2]string]Row, error) {
	rows := make(map[[2]string]Row, len(keys))
	for len(keys) > 0 {
		n := min(batchRead, len(keys))
		want := types.KeysAndAttributes{ConsistentRead: aws.Bool(true)}
		for _, k := range keys[:n] {
			want.Keys = append(want.Keys, key(k[0], k[1]))
		}
		keys = keys[n:]
		for attempt := 0; len(want.Keys) > 0; attempt++ {
			if attempt == maxAttempts {
				return nil, fault.New(fault.Busy, "views-busy", "the views cannot be read now")
			}
			out, err := t.Client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{t.Name: want}})
			if err != nil {
				return nil, fmt.Errorf("read views: %w", err)
			}
			for _, item := range out.Responses[t.Name] {
				row := RowOf(item)
				rows[[2]string{row.PK, row.SK}] = row
			}
			want = out.UnprocessedKeys[t.Name]
			want.ConsistentRead = aws.Bool(true)
		}
	}
	return rows, nil
}

// Put stores a row, whatever was there.
func (t Table) Put(ctx context.Context, row Row) error {
	_, err := t.Client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &t.Name, Item: itemOf(row)})
	if err != nil {
		return fmt.Errorf("write view: %w", err)
	}
	return nil
}

// Add adds n to a counter that is removed some time after ttl, Unix seconds, and returns what it then is.
func (t Table) Add(ctx context.Context, pk, sk string, n, ttl int64) (int64, error) {
	out, err := t.Client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &t.Name, Key: key(pk, sk), ReturnValues: types.ReturnValueUpdatedNew,
		UpdateExpression:         aws.String("ADD n :n SET #ttl = :ttl"),
		ExpressionAttributeNames: map[string]string{"#ttl": "ttl"}, ExpressionAttributeValues: map[string]types.AttributeValue{":n": num(n), ":ttl": num(ttl)},
	})
	if err != nil {
		return 0, fmt.Errorf("count: %w", err)
	}
	return RowOf(out.Attributes).Version, nil
}

// Create stores a row unless there is one; created says which.
func (t Table) Create(ctx context.Context, row Row) (created bool, err error) {
	_, err = t.Client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &t.Name, Item: itemOf(row), ConditionExpression: aws.String("attribute_not_exists(pk)")})
	if _, exists := errors.AsType[*types.ConditionalCheckFailedException](err); exists {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("write view: %w", err)
	}
	return true, nil
}

// Replace stores a row if the stored one still has the version old (0: or is absent), with the lookups in one transaction.
// It reports false if it was overtaken.
func (t Table) Replace(ctx context.Context, row Row, old int64, put []Row, remove [][2]string) (bool, error) {
	condition := aws.String("attribute_not_exists(pk)")
	var values map[string]types.AttributeValue
	if old > 0 {
		condition = aws.String("n = :old")
		values = map[string]types.AttributeValue{":old": num(old)}
	}
	if len(put)+len(remove) == 0 {
		_, err := t.Client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &t.Name, Item: itemOf(row), ConditionExpression: condition, ExpressionAttributeValues: values})
		if _, overtaken := errors.AsType[*types.ConditionalCheckFailedException](err); overtaken {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("write view: %w", err)
		}
		return true, nil
	}
	writes := []types.TransactWriteItem{{Put: &types.Put{TableName: &t.Name, Item: itemOf(row), ConditionExpression: condition, ExpressionAttributeValues: values}}}
	for _, r := range put {
		writes = append(writes, types.TransactWriteItem{Put: &types.Put{TableName: &t.Name, Item: itemOf(r)}})
	}
	for _, k := range remove {
		writes = append(writes, types.TransactWriteItem{Delete: &types.Delete{TableName: &t.Name, Key: key(k[0], k[1])}})
	}
	_, err := t.Client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	if overtaken(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("write view: %w", err)
	}
	return true, nil
}

// Remove removes a row if it still has its version, with others in one transaction. It reports false if it was overtaken.
func (t Table) Remove(ctx context.Context, row Row, others [][2]string) (bool, error) {
	writes := []types.TransactWriteItem{{Delete: &types.Delete{
		TableName: &t.Name, Key: key(row.PK, row.SK), ConditionExpression: aws.String("n = :old"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":old": num(row.Version)},
	}}}
	for _, k := range others {
		writes = append(writes, types.TransactWriteItem{Delete: &types.Delete{TableName: &t.Name, Key: key(k[0], k[1])}})
	}
	_, err := t.Client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	if overtaken(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("remove view: %w", err)
	}
	return true, nil
}

// overtaken says whether a transaction was cancelled because somebody else was first, and not because it could not be done.
func overtaken(err error) bool {
	cancelled, ok := errors.AsType[*types.TransactionCanceledException](err)
	return ok && slices.ContainsFunc(cancelled.CancellationReasons, func(r types.CancellationReason) bool {
		code := aws.ToString(r.Code)
		return code == "ConditionalCheckFailed" || code == "TransactionConflict"
	})
}

// PutMany stores rows, whatever was there.
func (t Table) PutMany(ctx context.Context, rows []Row) error {
	writes := make([]types.WriteRequest, len(rows))
	for i, row := range rows {
		writes[i] = types.WriteRequest{PutRequest: &types.PutRequest{Item: itemOf(row)}}
	}
	return t.writeMany(ctx, writes)
}

// Delete removes rows.
func (t Table) Delete(ctx context.Context, keys ...[2]string) error {
	writes := make([]types.WriteRequest, len(keys))
	for i, k := range keys {
		writes[i] = types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: key(k[0], k[1])}}
	}
	return t.writeMany(ctx, writes)
}

func (t Table) writeMany(ctx context.Context, writes []types.WriteRequest) error {
	for len(writes) > 0 {
		n := min(batchWrite, len(writes))
		some := writes[:n]
		writes = writes[n:]
		for attempt := 0; len(some) > 0; attempt++ {
			if attempt == maxAttempts {
				return fault.New(fault.Busy, "views-busy", "the views cannot be written now")
			}
			if attempt > 0 {
				if err := pause(ctx, attempt); err != nil {
					return err
				}
			}
			out, err := t.Client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{t.Name: some}})
			if err != nil {
				return fmt.Errorf("write views: %w", err)
			}
			some = out.UnprocessedItems[t.Name]
		}
	}
	return nil
}

// pause waits a little longer after each attempt.
func pause(ctx context.Context, attempt int) error {
	select {
	case <-time.After(time.Duration(attempt*attempt) * 10 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// List returns up to limit rows of a partition whose sort key begins with prefix, from after a cursor that an earlier
// call returned; the next cursor is "" at the end. backwards lists the last ones first.
func (t Table) List(ctx context.Context, pk, prefix, cursor string, limit int, backwards bool) (rows []Row, next string, err error) {
	in := &dynamodb.QueryInput{
		TableName: &t.Name, Limit: aws.Int32(int32(limit)), ScanIndexForward: aws.Bool(!backwards), ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("pk = :pk AND begins_with(sk, :prefix)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":pk": str(pk), ":prefix": str(prefix)},
	}
	if prefix == "" {
		in.KeyConditionExpression = aws.String("pk = :pk")
		delete(in.ExpressionAttributeValues, ":prefix")
	}
	if cursor != "" {
		if !strings.HasPrefix(cursor, prefix) || strings.ContainsFunc(cursor, func(r rune) bool { return r < 0x20 || r == utf8.RuneError }) {
			return nil, "", errCursor() // DynamoDB does not start outside of what it is asked for
		}
		in.ExclusiveStartKey = key(pk, cursor)
	}
	out, err := t.Client.Query(ctx, in)
	if err != nil {
		return nil, "", fmt.Errorf("list view: %w", err)
	}
	for _, item := range out.Items {
		rows = append(rows, RowOf(item))
	}
	if last, ok := out.LastEvaluatedKey["sk"].(*types.AttributeValueMemberS); ok {
		next = last.Value
	}
	return rows, next, nil
}

// Keys returns the keys of every row of a partition, for removing them.
func (t Table) Keys(ctx context.Context, pk, prefix string) ([][2]string, error) {
	var keys [][2]string
	for cursor := ""; ; {
		rows, next, err := t.List(ctx, pk, prefix, cursor, 500, false)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			keys = append(keys, [2]string{row.PK, row.SK})
		}
		if next == "" {
			return keys, nil
		}
		cursor = next
	}
}

// Cursor makes an opaque cursor of its parts, and ParseCursor reads it.
func Cursor(parts ...string) string {
	raw, err := json.Marshal(parts)
	if err != nil {
		panic(err) // strings always marshal
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// ParseCursor reads a cursor of n parts; Invalid for anything Cursor did not make.
func ParseCursor(cursor string, n int) ([]string, error) {
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	var parts []string
	if err != nil || len(cursor) > 1024 || json.Unmarshal(raw, &parts) != nil || len(parts) != n {
		return nil, errCursor()
	}
	return parts, nil
}

func errCursor() error {
	return fault.New(fault.Invalid, "invalid-cursor", "cursor must be a nextCursor of an earlier answer")
}

func itemOf(row Row) map[string]types.AttributeValue {
	item := key(row.PK, row.SK)
	if row.Version > 0 {
		item["n"] = num(row.Version)
	}
	if row.Data != nil {
		item["d"] = str(string(row.Data))
	}
	if row.Sealed != nil {
		item["p"] = &types.AttributeValueMemberB{Value: row.Sealed}
	}
	if row.TTL > 0 {
		item["ttl"] = num(row.TTL)
	}
	return item
}

// RowOf reads a row from its item.
func RowOf(item map[string]types.AttributeValue) Row {
	text := func(name string) string {
		switch v := item[name].(type) {
		case *types.AttributeValueMemberS:
			return v.Value
		case *types.AttributeValueMemberN:
			return v.Value
		}
		return ""
	}
	row := Row{PK: text("pk"), SK: text("sk")}
	row.Version, _ = strconv.ParseInt(text("n"), 10, 64) // absent counts as 0
	row.TTL, _ = strconv.ParseInt(text("ttl"), 10, 64)
	if d := text("d"); d != "" {
		row.Data = []byte(d)
	}
	if p, ok := item["p"].(*types.AttributeValueMemberB); ok {
		row.Sealed = p.Value
	}
	return row
}

func key(pk, sk string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"pk": str(pk), "sk": str(sk)}
}

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func num(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// sealedPlace binds a row's personal part to the row.
func sealedPlace(pk, sk string) string { return "V#" + pk + "#" + sk }

// ignoreErased turns "can no longer be read" into "holds nothing".
func ignoreErased(data []byte, err error) ([]byte, error) {
	if errors.Is(err, eventstore.ErrErased) {
		return nil, nil
	}
	return data, err
}
