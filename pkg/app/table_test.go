package app

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"defter/pkg/eventstore/storetest/dynamotest"
	"defter/pkg/meter"
	"defter/pkg/view"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// rows is the table of the views in memory, as far as the quarantine needs one: thousands of histories have one each.
type rows struct {
	meter.API // what it does not have
	mu        sync.Mutex
	items     map[[2]string]map[string]types.AttributeValue
	crash     func() error // before and after each request, nil for never
}

func newRows() *rows { return &rows{items: map[[2]string]map[string]types.AttributeValue{}} }

// fails says whether the request gets lost, or its answer.
func (r *rows) fails() error {
	if r.crash == nil {
		return nil
	}
	return r.crash()
}

func keyOf(item map[string]types.AttributeValue) [2]string {
	return [2]string{view.RowOf(item).PK, view.RowOf(item).SK}
}

// holds says whether a condition of view.Table holds: that there is no such item, or that it has a version.
func (r *rows) holds(key [2]string, condition *string, values map[string]types.AttributeValue) bool {
	item, there := r.items[key]
	switch aws.ToString(condition) {
	case "":
		return true
	case "attribute_not_exists(pk)":
		return !there
	}
	return there && view.RowOf(item).Version == view.RowOf(map[string]types.AttributeValue{"n": values[":old"]}).Version
}

func (r *rows) GetItem(_ context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	if err := r.fails(); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return &dynamodb.GetItemOutput{Item: r.items[keyOf(in.Key)]}, nil
}

func (r *rows) PutItem(_ context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	if err := r.fails(); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.holds(keyOf(in.Item), in.ConditionExpression, in.ExpressionAttributeValues) {
		return nil, &types.ConditionalCheckFailedException{}
	}
	r.items[keyOf(in.Item)] = in.Item
	return &dynamodb.PutItemOutput{}, r.fails()
}

func (r *rows) TransactWriteItems(_ context.Context, in *dynamodb.TransactWriteItemsInput, _ ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	if err := r.fails(); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range in.TransactItems {
		ok := true
		if w.Put != nil {
			ok = r.holds(keyOf(w.Put.Item), w.Put.ConditionExpression, w.Put.ExpressionAttributeValues)
		} else {
			ok = r.holds(keyOf(w.Delete.Key), w.Delete.ConditionExpression, w.Delete.ExpressionAttributeValues)
		}
		if !ok {
			return nil, &types.TransactionCanceledException{CancellationReasons: []types.CancellationReason{{Code: aws.String("ConditionalCheckFailed")}}}
		}
	}
	for _, w := range in.TransactItems {
		if w.Put != nil {
			r.items[keyOf(w.Put.Item)] = w.Put.Item
		} else {
			delete(r.items, keyOf(w.Delete.Key))
		}
	}
	return &dynamodb.TransactWriteItemsOutput{}, r.fails()
}

// Query answers a list of a partition whole.
func (r *rows) Query(_ context.Context, in *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := func(name string) string {
		s, _ := in.ExpressionAttributeValues[name].(*types.AttributeValueMemberS)
		if s == nil {
			return ""
		}
		return s.Value
	}
	out := new(dynamodb.QueryOutput)
	for _, key := range slices.SortedFunc(maps.Keys(r.items), func(a, b [2]string) int { return strings.Compare(a[1], b[1]) }) {
		if key[0] == text(":pk") && strings.HasPrefix(key[1], text(":prefix")) {
			out.Items = append(out.Items, r.items[key])
		}
	}
	return out, nil
}

// TestRows: what the table in memory does, the real one does too.
func TestRows(t *testing.T) {
	client := dynamotest.Client(t)
	for name, table := range map[string]view.Table{
		"memory": {Client: newRows()}, "engine": {Client: client, Name: dynamotest.Table(t, client)},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			hint, row := view.Row{PK: "WAITING#o1", SK: "s#1", Version: 1, Data: []byte(`{}`)}, view.Row{PK: "QUARANTINE#s", SK: "1", TTL: 7}
			for i, want := range []bool{true, false} {
				if put, err := table.Replace(ctx, hint, 0, []view.Row{row}, nil); put != want || err != nil {
					t.Errorf("put %d: %v, %v", i, put, err)
				}
			}
			if found, _, err := table.List(ctx, "WAITING#o1", "", "", 10, false); len(found) != 1 || string(found[0].Data) != "{}" || err != nil {
				t.Errorf("%+v, %v", found, err)
			}
			if found, ok, err := table.Get(ctx, "QUARANTINE#s", "1"); !ok || found.TTL != 7 || err != nil {
				t.Errorf("%+v, %v, %v", found, ok, err)
			}
			for i, want := range []bool{true, false} {
				if gone, err := table.Remove(ctx, hint, [][2]string{{row.PK, row.SK}}); gone != want || err != nil {
					t.Errorf("remove %d: %v, %v", i, gone, err)
				}
			}
			if _, ok, err := table.Get(ctx, "QUARANTINE#s", "1"); ok || err != nil {
				t.Errorf("it is still there, %v", err)
			}
			for i, want := range []bool{true, false} {
				if made, err := table.Create(ctx, row); made != want || err != nil {
					t.Errorf("create %d: %v, %v", i, made, err)
				}
			}
		})
	}
}
