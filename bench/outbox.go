package main

import (
	"context"
	"strings"

	"defter/pkg/meter"
	"defter/pkg/topology"

	lambdaevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// outbox keeps the commit items that are written, as a stream's records have them, and knows what write units went into.
type outbox struct {
	*dynamodb.Client
	items []map[string]lambdaevents.DynamoDBAttributeValue
	units map[string]float64 // by table and the sort key's prefix
}

func (o *outbox) PutItem(ctx context.Context, in *dynamodb.PutItemInput, options ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	out, err := o.Client.PutItem(ctx, in, options...)
	o.bill(*in.TableName, in.Item, 1)
	if err == nil {
		o.keep(in.Item)
	}
	return out, err
}

func (o *outbox) BatchWriteItem(ctx context.Context, in *dynamodb.BatchWriteItemInput, options ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error) {
	for table, writes := range in.RequestItems {
		for _, w := range writes {
			if w.PutRequest != nil {
				o.bill(table, w.PutRequest.Item, 1)
			}
		}
	}
	return o.Client.BatchWriteItem(ctx, in, options...)
}

func (o *outbox) bill(table string, item map[string]types.AttributeValue, times float64) {
	kind := ""
	if key, ok := item["sk"].(*types.AttributeValueMemberS); ok {
		kind, _, _ = strings.Cut(key.Value, "#")
		if kind == "S" {
			kind = key.Value
		}
	}
	o.units[table+"/"+kind] += times * meter.WriteUnits(meter.Size(item))
}

func (o *outbox) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, options ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	out, err := o.Client.TransactWriteItems(ctx, in, options...)
	if err == nil {
		for _, w := range in.TransactItems {
			if w.Put != nil {
				o.bill(*w.Put.TableName, w.Put.Item, 2)
				o.keep(w.Put.Item)
			}
		}
	}
	return out, err
}

func (o *outbox) keep(item map[string]types.AttributeValue) {
	if key, ok := item["sk"].(*types.AttributeValueMemberS); !ok || !strings.HasPrefix(key.Value, topology.CommitPrefix) {
		return
	}
	image := map[string]lambdaevents.DynamoDBAttributeValue{}
	for name, value := range item {
		switch v := value.(type) {
		case *types.AttributeValueMemberS:
			image[name] = lambdaevents.NewStringAttribute(v.Value)
		case *types.AttributeValueMemberN:
			image[name] = lambdaevents.NewNumberAttribute(v.Value)
		case *types.AttributeValueMemberB:
			image[name] = lambdaevents.NewBinaryAttribute(v.Value)
		}
	}
	o.items = append(o.items, image)
}
