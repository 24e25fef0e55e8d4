package dynamotest

import (
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// TestOneEngine: tests under way at once share an engine, which ends with the last of them.
func TestOneEngine(t *testing.T) {
	if os.Getenv("DYNAMODB_ENDPOINT") != "" {
		t.Skip("DYNAMODB_ENDPOINT is set: no engine is started")
	}
	var last *dynamodb.Client
	t.Run("shared", func(t *testing.T) {
		first := Client(t)
		table := Table(t, first)
		t.Run("inner", func(t *testing.T) { last = Client(t) })
		if one, two := *first.Options().BaseEndpoint, *last.Options().BaseEndpoint; one != two {
			t.Errorf("two engines, %s and %s", one, two)
		}
		if _, err := last.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &table}); err != nil {
			t.Errorf("the engine ended although a test needs it: %v", err)
		}
	})
	if last == nil {
		t.Skip("no engine is installed")
	}
	stopped := dynamodb.New(last.Options(), func(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} })
	if _, err := stopped.ListTables(t.Context(), nil); err == nil {
		t.Error("the engine outlived the last test that needed it")
	}
	if _, err := os.Stat(shared.dir); !os.IsNotExist(err) {
		t.Errorf("its data is left in %s", shared.dir)
	}
}
