package meter

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// API is the part of DynamoDB that the program uses.
type API interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	BatchWriteItem(context.Context, *dynamodb.BatchWriteItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
}

// Client counts every request on Total and on the meter of its context, conditional failures included: they are billed.
// An overwrite or a delete is counted by the item it writes, since the one it replaces is not known here.
type Client struct {
	API
	Total *Meter
}

func (c Client) count(ctx context.Context, cost Cost) {
	cost.Requests = 1
	c.Total.add(cost)
	from(ctx).add(cost)
}

func (c Client) GetItem(ctx context.Context, in *dynamodb.GetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	out, err := c.API.GetItem(ctx, in, o...)
	if err == nil {
		c.count(ctx, Cost{ReadUnits: consistency(in.ConsistentRead) * ReadUnits(Size(out.Item))})
	}
	return out, err
}

func (c Client) BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error) {
	out, err := c.API.BatchGetItem(ctx, in, o...)
	if err == nil {
		var cost Cost
		for table, keys := range in.RequestItems {
			weight := consistency(keys.ConsistentRead)
			for _, item := range out.Responses[table] {
				cost.ReadUnits += weight * ReadUnits(Size(item))
			}
			cost.ReadUnits += weight * float64(len(keys.Keys)-len(out.Responses[table])-len(out.UnprocessedKeys[table].Keys))
		}
		c.count(ctx, cost)
	}
	return out, err
}

func (c Client) PutItem(ctx context.Context, in *dynamodb.PutItemInput, o ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	out, err := c.API.PutItem(ctx, in, o...)
	c.count(ctx, Cost{WriteUnits: WriteUnits(Size(in.Item))})
	return out, err
}

func (c Client) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, o ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	out, err := c.API.UpdateItem(ctx, in, o...)
	c.count(ctx, Cost{WriteUnits: WriteUnits(Size(in.Key) + Size(in.ExpressionAttributeValues))})
	return out, err
}

func (c Client) DeleteItem(ctx context.Context, in *dynamodb.DeleteItemInput, o ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
	out, err := c.API.DeleteItem(ctx, in, o...)
	c.count(ctx, Cost{WriteUnits: 1})
	return out, err
}

func (c Client) BatchWriteItem(ctx context.Context, in *dynamodb.BatchWriteItemInput, o ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error) {
	out, err := c.API.BatchWriteItem(ctx, in, o...)
	var cost Cost
	for _, writes := range in.RequestItems {
		for _, w := range writes {
			size := 0
			if w.PutRequest != nil {
				size = Size(w.PutRequest.Item)
			}
			cost.WriteUnits += WriteUnits(size)
		}
	}
	c.count(ctx, cost)
	return out, err
}

func (c Client) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, o ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	out, err := c.API.TransactWriteItems(ctx, in, o...)
	var cost Cost
	for _, w := range in.TransactItems {
		size := 0
		switch {
		case w.Put != nil:
			size = Size(w.Put.Item)
		case w.Update != nil:
			size = Size(w.Update.Key) + Size(w.Update.ExpressionAttributeValues)
		}
		cost.WriteUnits += 2 * WriteUnits(size)
	}
	c.count(ctx, cost)
	return out, err
}

func (c Client) Query(ctx context.Context, in *dynamodb.QueryInput, o ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	out, err := c.API.Query(ctx, in, o...)
	if err == nil {
		c.count(ctx, Cost{ReadUnits: consistency(in.ConsistentRead) * ReadUnits(sizes(out.Items))})
	}
	return out, err
}

func (c Client) Scan(ctx context.Context, in *dynamodb.ScanInput, o ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	out, err := c.API.Scan(ctx, in, o...)
	if err == nil {
		c.count(ctx, Cost{ReadUnits: consistency(in.ConsistentRead) * ReadUnits(sizes(out.Items))})
	}
	return out, err
}

func consistency(strong *bool) float64 {
	if strong != nil && *strong {
		return 1
	}
	return 0.5
}

func sizes(items []map[string]types.AttributeValue) int {
	n := 0
	for _, item := range items {
		n += Size(item)
	}
	return n
}
