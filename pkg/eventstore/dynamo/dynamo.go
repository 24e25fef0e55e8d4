// Package dynamo is the event store on one DynamoDB table with string keys pk and sk. Three kinds of items: commits
// (pk = stream, sk = E#<first version, 12 digits>), snapshots (pk = stream, sk = S#<fold>) and claims (pk = the claim's
// key, sk = #).
package dynamo

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/meter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

const (
	commitPrefix   = "E#"
	snapshotPrefix = "S#"
	claimKey       = "#"
	snapshotTries  = 4
)

// Store is an event store on a DynamoDB table.
type Store struct {
	client meter.API
	table  string
	now    func() time.Time
}

// New makes a store on an existing table. now tells which claims have expired: DynamoDB removes them days late.
func New(client meter.API, table string, now func() time.Time) *Store {
	return &Store{client: client, table: table, now: now}
}

func (s *Store) Append(ctx context.Context, c eventstore.Commit, claims ...eventstore.Claim) error {
	if err := eventstore.Check(c, claims); err != nil {
		return err
	}
	item, err := Marshal(c)
	if err != nil {
		return err
	}
	if len(claims) == 0 {
		_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: &s.table, Item: item, ConditionExpression: aws.String("attribute_not_exists(pk)"),
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		})
		if failed, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
			return ownSuccess(failed.Item, c)
		}
		if is[*types.TransactionConflictException](err) { // a transaction on the same item is under way
			return fmt.Errorf("%w: %w", eventstore.ErrConflict, err)
		}
		return storeError(err)
	}
	writes := []types.TransactWriteItem{{Put: &types.Put{
		TableName: &s.table, Item: item, ConditionExpression: aws.String("attribute_not_exists(pk)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}}
	for _, claim := range claims {
		writes = append(writes, s.claimWrite(claim))
	}
	// No token of ours: the same commit tried again later has other conditions (the time), which a token would refuse.
	_, err = s.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	if cancelled, ok := errors.AsType[*types.TransactionCanceledException](err); ok {
		return cancellation(cancelled, c, claims)
	}
	return storeError(err)
}

func cancellation(cancelled *types.TransactionCanceledException, c eventstore.Commit, claims []eventstore.Claim) error {
	contended := false
	for i, reason := range cancelled.CancellationReasons {
		switch aws.ToString(reason.Code) {
		case "ConditionalCheckFailed":
			if i == 0 {
				return ownSuccess(reason.Item, c)
			}
			return &eventstore.TakenError{Key: claims[i-1].Key}
		case "TransactionConflict":
			contended = true
		}
	}
	if contended { // another transaction was under way on one of the items
		return eventstore.ErrConflict
	}
	return fmt.Errorf("%w: %w", eventstore.ErrBusy, cancelled)
}

// Compact overwrites the first of the old commits, whose key is the replacement's, and deletes the others. Readers of the
// table's stream are told of changed and removed items, and pass only those that were inserted.
func (s *Store) Compact(ctx context.Context, by eventstore.Commit, old ...eventstore.Commit) error {
	if err := eventstore.CheckCompaction(by, old); err != nil {
		return err
	}
	item, err := Marshal(by)
	if err != nil {
		return err
	}
	condition, values := asRead(old[0])
	if len(old) == 1 {
		_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.table, Item: item, ConditionExpression: condition, ExpressionAttributeValues: values})
		if is[*types.ConditionalCheckFailedException](err) || is[*types.TransactionConflictException](err) {
			return fmt.Errorf("%w: %w", eventstore.ErrConflict, err)
		}
		return storeError(err)
	}
	writes := []types.TransactWriteItem{{Put: &types.Put{TableName: &s.table, Item: item, ConditionExpression: condition, ExpressionAttributeValues: values}}}
	for _, c := range old[1:] {
		condition, values := asRead(c)
		writes = append(writes, types.TransactWriteItem{Delete: &types.Delete{
			TableName: &s.table, Key: keys(c.Stream, commitKey(c.First)), ConditionExpression: condition, ExpressionAttributeValues: values,
		}})
	}
	_, err = s.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	if cancelled, ok := errors.AsType[*types.TransactionCanceledException](err); ok {
		for _, reason := range cancelled.CancellationReasons {
			if code := aws.ToString(reason.Code); code == "ConditionalCheckFailed" || code == "TransactionConflict" {
				return fmt.Errorf("%w: %w", eventstore.ErrConflict, cancelled)
			}
		}
		return fmt.Errorf("%w: %w", eventstore.ErrBusy, cancelled)
	}
	return storeError(err)
}

// asRead is the condition that an item is still the commit that was read.
func asRead(c eventstore.Commit) (*string, map[string]types.AttributeValue) {
	values := map[string]types.AttributeValue{":id": str(c.ID)}
	if c.Compacted == 0 {
		return aws.String("i = :id AND attribute_not_exists(k)"), values
	}
	values[":k"] = num(int64(c.Compacted))
	return aws.String("i = :id AND k = :k"), values
}

// ownSuccess tells a commit that is there because this very append was retried from one that was there before.
func ownSuccess(stored map[string]types.AttributeValue, c eventstore.Commit) error {
	if text(stored, "i") == c.ID {
		return nil
	}
	return eventstore.ErrConflict
}

func (s *Store) claimWrite(c eventstore.Claim) types.TransactWriteItem {
	condition, values := s.free(c)
	if c.Release {
		return types.TransactWriteItem{Delete: &types.Delete{
			TableName: &s.table, Key: keys(c.Key, claimKey), ConditionExpression: condition,
			ExpressionAttributeNames: map[string]string{"#t": "ttl"}, ExpressionAttributeValues: values,
		}}
	}
	return types.TransactWriteItem{Put: &types.Put{
		TableName: &s.table, Item: claimItem(c), ConditionExpression: condition,
		ExpressionAttributeNames: map[string]string{"#t": "ttl"}, ExpressionAttributeValues: values,
	}}
}

// free is the condition that nobody else holds the claim.
func (s *Store) free(c eventstore.Claim) (*string, map[string]types.AttributeValue) {
	return aws.String("attribute_not_exists(pk) OR o = :owner OR #t <= :now"), map[string]types.AttributeValue{
		":owner": str(c.Owner), ":now": num(s.now().Unix()),
	}
}

func (s *Store) Claim(ctx context.Context, c eventstore.Claim) error {
	condition, values := s.free(c)
	_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &s.table, Item: claimItem(c), ConditionExpression: condition,
		ExpressionAttributeNames: map[string]string{"#t": "ttl"}, ExpressionAttributeValues: values,
	})
	if _, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return &eventstore.TakenError{Key: c.Key}
	}
	return storeError(err)
}

func (s *Store) Unclaim(ctx context.Context, key, owner string) error {
	_, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &s.table, Key: keys(key, claimKey), ConditionExpression: aws.String("o = :owner"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":owner": str(owner)},
	})
	if _, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return nil
	}
	return storeError(err)
}

func (s *Store) Claimed(ctx context.Context, key string) (eventstore.Claim, bool, error) {
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: keys(key, claimKey), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return eventstore.Claim{}, false, storeError(err)
	}
	if out.Item == nil {
		return eventstore.Claim{}, false, nil
	}
	c := eventstore.Claim{Key: key, Owner: text(out.Item, "o"), Value: blob(out.Item, "v")}
	if at := number(out.Item, "ttl"); at > 0 {
		c.ExpiresAt = time.Unix(at, 0).UTC()
		if !s.now().Before(c.ExpiresAt) {
			return eventstore.Claim{}, false, nil
		}
	}
	return c, true, nil
}

func (s *Store) Read(ctx context.Context, stream string, from, to int64) iter.Seq2[eventstore.Commit, error] {
	if to == 0 {
		to = eventstore.MaxVersion
	}
	return s.query(ctx, stream, max(from, 1), to, true)
}

func (s *Store) ReadBack(ctx context.Context, stream string, from int64) iter.Seq2[eventstore.Commit, error] {
	if from == 0 {
		from = eventstore.MaxVersion
	}
	return s.query(ctx, stream, 1, from, false)
}

func (s *Store) query(ctx context.Context, stream string, from, to int64, forward bool) iter.Seq2[eventstore.Commit, error] {
	if from > to { // DynamoDB refuses to look between bounds the wrong way round
		return func(func(eventstore.Commit, error) bool) {}
	}
	in := &dynamodb.QueryInput{
		TableName: &s.table, ConsistentRead: aws.Bool(true), ScanIndexForward: &forward,
		KeyConditionExpression: aws.String("pk = :pk AND sk BETWEEN :from AND :to"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":pk": str(stream), ":from": str(commitKey(from)), ":to": str(commitKey(to)),
		},
	}
	if !forward {
		in.Limit = aws.Int32(1) // whoever reads back mostly wants the newest commit alone
	}
	return pages(ctx, func(start map[string]types.AttributeValue) ([]map[string]types.AttributeValue, map[string]types.AttributeValue, error) {
		in.ExclusiveStartKey = start
		out, err := s.client.Query(ctx, in)
		if err != nil {
			return nil, nil, err
		}
		if in.Limit != nil {
			in.Limit = aws.Int32(min(*in.Limit*8, 512))
		}
		return out.Items, out.LastEvaluatedKey, nil
	})
}

func (s *Store) Scan(ctx context.Context, segment, n int) iter.Seq2[eventstore.Commit, error] {
	in := &dynamodb.ScanInput{
		TableName: &s.table, ConsistentRead: aws.Bool(true), Segment: aws.Int32(int32(segment)), TotalSegments: aws.Int32(int32(n)),
		FilterExpression:          aws.String("begins_with(sk, :commit)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":commit": str(commitPrefix)},
	}
	return pages(ctx, func(start map[string]types.AttributeValue) ([]map[string]types.AttributeValue, map[string]types.AttributeValue, error) {
		in.ExclusiveStartKey = start
		out, err := s.client.Scan(ctx, in)
		if err != nil {
			return nil, nil, err
		}
		return out.Items, out.LastEvaluatedKey, nil
	})
}

// pages yields the commits of every page to the end: a stream longer than one page of 1 MB must not look shorter.
func pages(ctx context.Context, page func(start map[string]types.AttributeValue) (items []map[string]types.AttributeValue, next map[string]types.AttributeValue, err error)) iter.Seq2[eventstore.Commit, error] {
	return func(yield func(eventstore.Commit, error) bool) {
		var start map[string]types.AttributeValue
		for {
			items, next, err := page(start)
			if err != nil {
				yield(eventstore.Commit{}, storeError(err))
				return
			}
			for _, item := range items {
				c, err := Unmarshal(item)
				if !yield(c, err) || err != nil {
					return
				}
			}
			if len(next) == 0 {
				return
			}
			if err := ctx.Err(); err != nil {
				yield(eventstore.Commit{}, err)
				return
			}
			start = next
		}
	}
}

func (s *Store) LoadSnapshots(ctx context.Context, stream string, folds ...string) ([]eventstore.Snapshot, error) {
	var items []map[string]types.AttributeValue
	switch len(folds) {
	case 0:
		return nil, nil
	case 1:
		out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: keys(stream, snapshotPrefix+folds[0]), ConsistentRead: aws.Bool(true)})
		if err != nil {
			return nil, storeError(err)
		}
		if out.Item != nil {
			items = append(items, out.Item)
		}
	default:
		want := types.KeysAndAttributes{ConsistentRead: aws.Bool(true)}
		for _, fold := range folds {
			want.Keys = append(want.Keys, keys(stream, snapshotPrefix+fold))
		}
		for try := 1; len(want.Keys) > 0; try++ {
			if try > snapshotTries { // what it is for is to make loading cheap: without it a long stream would be read whole
				return nil, fmt.Errorf("load snapshots: %w", eventstore.ErrBusy)
			}
			out, err := s.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{s.table: want}})
			if err != nil {
				return nil, storeError(err)
			}
			items = append(items, out.Responses[s.table]...)
			want.Keys = out.UnprocessedKeys[s.table].Keys
		}
	}
	snapshots := make([]eventstore.Snapshot, 0, len(items))
	for _, item := range items {
		snapshots = append(snapshots, eventstore.Snapshot{
			Stream: stream, Fold: text(item, "sk")[len(snapshotPrefix):], Version: number(item, "n"), State: int(number(item, "v")),
			RecordedAt: time.UnixMilli(number(item, "at")).UTC(), Sealed: blob(item, "p"),
		})
	}
	return snapshots, nil
}

func (s *Store) SaveSnapshot(ctx context.Context, snapshot eventstore.Snapshot) error {
	item := keys(snapshot.Stream, snapshotPrefix+snapshot.Fold)
	item["n"], item["v"] = num(snapshot.Version), num(int64(snapshot.State))
	item["at"] = num(snapshot.RecordedAt.UnixMilli())
	if len(snapshot.Sealed) > 0 {
		item["p"] = &types.AttributeValueMemberB{Value: snapshot.Sealed}
	}
	_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.table, Item: item})
	return storeError(err)
}

func (s *Store) DropSnapshots(ctx context.Context, stream string, folds ...string) error {
	for _, fold := range folds {
		if _, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &s.table, Key: keys(stream, snapshotPrefix+fold)}); err != nil {
			return storeError(err)
		}
	}
	return nil
}

// storeError tells what may work when tried again.
func storeError(err error) error {
	if err == nil {
		return nil
	}
	for _, busy := range []func(error) bool{
		is[*types.ProvisionedThroughputExceededException], is[*types.RequestLimitExceeded], is[*types.ThrottlingException],
		is[*types.InternalServerError], is[*types.TransactionInProgressException], is[*types.TransactionConflictException],
	} {
		if busy(err) {
			return fmt.Errorf("%w: %w", eventstore.ErrBusy, err)
		}
	}
	return err
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
