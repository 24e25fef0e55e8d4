package meter_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"defter/pkg/eventstore/storetest/dynamotest"
	"defter/pkg/meter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func TestMain(m *testing.M) { os.Exit(dynamotest.Keep(m)) }

// TestSize has figures computed by hand from the developer guide, "Item sizes and formats".
func TestSize(t *testing.T) {
	for _, c := range []struct {
		name  string
		value types.AttributeValue
		want  int // of an attribute named "ab", 2 bytes
	}{
		{"string", str("hello"), 2 + 5},
		{"empty string", str(""), 2},
		{"string in UTF-8", str("çığ"), 2 + 6},
		{"binary", bin(1000), 2 + 1000},
		{"true", &types.AttributeValueMemberBOOL{Value: true}, 2 + 1},
		{"null", &types.AttributeValueMemberNULL{Value: true}, 2 + 1},
		{"one digit", num("7"), 2 + 1 + 1},
		{"two digits", num("42"), 2 + 1 + 1},
		{"three digits", num("123"), 2 + 2 + 1},
		{"trailing zeroes are trimmed", num("1700000000000"), 2 + 1 + 1},
		{"leading zeroes are trimmed", num("0.00012"), 2 + 1 + 1},
		{"a sign and a point are no digits", num("-12.34"), 2 + 2 + 1},
		{"zeroes inside count", num("1002"), 2 + 2 + 1},
		{"zero", num("0"), 2 + 1},
		{"string set", &types.AttributeValueMemberSS{Value: []string{"abc", "de"}}, 2 + 3 + 2},
		{"number set", &types.AttributeValueMemberNS{Value: []string{"12345", "6"}}, 2 + (3 + 1) + (1 + 1)},
		{"binary set", &types.AttributeValueMemberBS{Value: [][]byte{make([]byte, 3), make([]byte, 4)}}, 2 + 3 + 4},
		{"empty list", &types.AttributeValueMemberL{}, 2 + 3},
		{"list", &types.AttributeValueMemberL{Value: []types.AttributeValue{str("abc"), num("12")}}, 2 + 3 + (1 + 3) + (1 + 2)},
		{"empty map", &types.AttributeValueMemberM{}, 2 + 3},
		{"map", &types.AttributeValueMemberM{Value: item{"k": str("abc"), "key": num("12")}}, 2 + 3 + (1 + 1 + 3) + (1 + 3 + 2)},
		{
			"map in a list", &types.AttributeValueMemberL{Value: []types.AttributeValue{
				&types.AttributeValueMemberM{Value: item{"k": str("abc")}},
			}}, 2 + 3 + (1 + 3 + (1 + 1 + 3)),
		},
	} {
		if got := meter.Size(item{"ab": c.value}); got != c.want {
			t.Errorf("%s: %d bytes, want %d", c.name, got, c.want)
		}
	}
	whole := item{"pk": str("CUSTOMER#7"), "sk": str("E#000000000001"), "at": num("1767225599123"), "p": bin(16)}
	if got, want := meter.Size(whole), (2+10)+(2+14)+(2+8)+(1+16); got != want {
		t.Errorf("an item: %d bytes, want %d", got, want)
	}
}

func TestUnits(t *testing.T) {
	for bytes, want := range map[int][2]float64{ // write units, read units
		0: {1, 1}, 1: {1, 1}, 1024: {1, 1}, 1025: {2, 1}, 4096: {4, 1}, 4097: {5, 2}, 8192: {8, 2}, 300_000: {293, 74}, 400 << 10: {400, 100},
	} {
		if got := [2]float64{meter.WriteUnits(bytes), meter.ReadUnits(bytes)}; got != want {
			t.Errorf("%d bytes: write and read units %v, want %v", bytes, got, want)
		}
	}
}

// TestClient asks a real DynamoDB and checks the bill.
func TestClient(t *testing.T) {
	client := dynamotest.Client(t)
	table := dynamotest.Table(t, client)
	metered := meter.Client{API: client, Total: &meter.Meter{}}
	row := func(sk string, bytes int) item { // bytes with names and keys
		i := key("CUSTOMER#1", sk)
		i["v"] = bin(bytes - meter.Size(i) - 1)
		return i
	}
	always, never := aws.String("attribute_exists(pk) OR attribute_not_exists(pk)"), aws.String("attribute_exists(nothing)")
	strong := aws.Bool(true)
	put := func(i item, condition *string) func(*testing.T) error {
		return func(t *testing.T) error {
			_, err := metered.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: i, ConditionExpression: condition})
			return err
		}
	}
	get := func(sk string, strong *bool) func(*testing.T) error {
		return func(t *testing.T) error {
			_, err := metered.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &table, Key: key("CUSTOMER#1", sk), ConsistentRead: strong})
			return err
		}
	}
	batchGet := func(strong *bool, sks ...string) func(*testing.T) error {
		return func(t *testing.T) error {
			want := types.KeysAndAttributes{ConsistentRead: strong}
			for _, sk := range sks {
				want.Keys = append(want.Keys, key("CUSTOMER#1", sk))
			}
			_, err := metered.BatchGetItem(t.Context(), &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{table: want}})
			return err
		}
	}
	query := func(pk string, strong *bool) func(*testing.T) error {
		return func(t *testing.T) error {
			_, err := metered.Query(t.Context(), &dynamodb.QueryInput{
				TableName: &table, ConsistentRead: strong, KeyConditionExpression: aws.String("pk = :pk"),
				ExpressionAttributeValues: item{":pk": str(pk)},
			})
			return err
		}
	}
	for _, c := range []struct {
		name   string
		ask    func(*testing.T) error
		want   meter.Cost
		refuse bool
	}{
		{"put 1,024 bytes", put(row("a", 1024), nil), meter.Cost{WriteUnits: 1}, false},
		{"put 1,025 bytes", put(row("b", 1025), always), meter.Cost{WriteUnits: 2}, false},
		{"put 5,000 bytes", put(row("c", 5000), nil), meter.Cost{WriteUnits: 5}, false},
		{"a failed condition is billed", put(row("d", 2500), never), meter.Cost{WriteUnits: 3}, true},
		{"get 1,024 bytes", get("a", strong), meter.Cost{ReadUnits: 1}, false},
		{"get 5,000 bytes", get("c", strong), meter.Cost{ReadUnits: 2}, false},
		{"get 5,000 bytes, eventually", get("c", nil), meter.Cost{ReadUnits: 1}, false},
		{"get nothing", get("x", strong), meter.Cost{ReadUnits: 1}, false},
		{"get three in a batch, one of them missing", batchGet(strong, "a", "c", "x"), meter.Cost{ReadUnits: 1 + 2 + 1}, false},
		{"get three in a batch, eventually", batchGet(nil, "a", "c", "x"), meter.Cost{ReadUnits: 0.5 + 1 + 0.5}, false},
		{"query 7,049 bytes: rounded once", query("CUSTOMER#1", strong), meter.Cost{ReadUnits: 2}, false},
		{"query 7,049 bytes, eventually", query("CUSTOMER#1", nil), meter.Cost{ReadUnits: 1}, false},
		{"query nothing", query("CUSTOMER#2", strong), meter.Cost{ReadUnits: 1}, false},
		{"scan", func(t *testing.T) error {
			_, err := metered.Scan(t.Context(), &dynamodb.ScanInput{TableName: &table})
			return err
		}, meter.Cost{ReadUnits: 1}, false},
		{"update", func(t *testing.T) error {
			_, err := metered.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
				TableName: &table, Key: key("CUSTOMER#1", "u"), UpdateExpression: aws.String("SET v = :v"),
				ExpressionAttributeValues: item{":v": bin(1500)},
			})
			return err
		}, meter.Cost{WriteUnits: 2}, false},
		{"delete", func(t *testing.T) error {
			_, err := metered.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &table, Key: key("CUSTOMER#1", "u")})
			return err
		}, meter.Cost{WriteUnits: 1}, false},
		{"write a batch: each item rounded", func(t *testing.T) error {
			_, err := metered.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{table: {
				{PutRequest: &types.PutRequest{Item: row("e", 100)}},
				{PutRequest: &types.PutRequest{Item: row("f", 1100)}},
				{DeleteRequest: &types.DeleteRequest{Key: key("CUSTOMER#1", "a")}},
			}}})
			return err
		}, meter.Cost{WriteUnits: 1 + 2 + 1}, false},
		{"a transaction costs twice", func(t *testing.T) error {
			_, err := metered.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
				{Put: &types.Put{TableName: &table, Item: row("g", 1100)}},
				{Update: &types.Update{
					TableName: &table, Key: key("CUSTOMER#1", "h"), UpdateExpression: aws.String("SET v = :v"),
					ExpressionAttributeValues: item{":v": bin(2500)},
				}},
				{Delete: &types.Delete{TableName: &table, Key: key("CUSTOMER#1", "e")}},
				{ConditionCheck: &types.ConditionCheck{TableName: &table, Key: key("CUSTOMER#1", "none"), ConditionExpression: always}},
			}})
			return err
		}, meter.Cost{WriteUnits: 2 * (2 + 3 + 1 + 1)}, false},
		{"a cancelled transaction is billed", func(t *testing.T) error {
			_, err := metered.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
				{Put: &types.Put{TableName: &table, Item: row("i", 1100), ConditionExpression: never}},
			}})
			return err
		}, meter.Cost{WriteUnits: 2 * 2}, true},
	} {
		before := metered.Total.Cost()
		err := c.ask(t)
		if (err != nil) != c.refuse {
			t.Fatalf("%s: %v", c.name, err)
		}
		after := metered.Total.Cost()
		got := meter.Cost{Requests: after.Requests - before.Requests, WriteUnits: after.WriteUnits - before.WriteUnits, ReadUnits: after.ReadUnits - before.ReadUnits}
		c.want.Requests = 1
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestWith: the meter of a context counts its own requests, Total those of everybody.
func TestWith(t *testing.T) {
	client := dynamotest.Client(t)
	table := dynamotest.Table(t, client)
	metered := meter.Client{API: client, Total: &meter.Meter{}}
	const each = 5
	mine := make([]meter.Meter, 4)
	var group sync.WaitGroup
	for i := range mine {
		ctx := meter.With(t.Context(), &mine[i])
		group.Go(func() {
			for n := range each * (i + 1) {
				if _, err := metered.PutItem(ctx, &dynamodb.PutItemInput{TableName: &table, Item: key(fmt.Sprint("CUSTOMER#", i), fmt.Sprint(n))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if _, err := metered.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &table, Key: key("CUSTOMER#0", "0")}); err != nil {
		t.Error(err)
	}
	for i := range mine {
		if got, want := mine[i].Cost(), (meter.Cost{Requests: each * (i + 1), WriteUnits: float64(each * (i + 1))}); got != want {
			t.Errorf("meter %d: %+v, want %+v", i, got, want)
		}
	}
	if got, want := metered.Total.Cost(), (meter.Cost{Requests: 10*each + 1, WriteUnits: 10 * each, ReadUnits: 0.5}); got != want {
		t.Errorf("total: %+v, want %+v", got, want)
	}
	untold := meter.Client{API: client}
	if _, err := untold.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &table, Key: key("CUSTOMER#0", "0")}); err != nil {
		t.Errorf("without a meter: %v", err)
	}
}

type item = map[string]types.AttributeValue

func key(pk, sk string) item { return item{"pk": str(pk), "sk": str(sk)} }

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func num(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }

func bin(n int) types.AttributeValue {
	return &types.AttributeValueMemberB{Value: []byte(strings.Repeat("b", n))}
}
