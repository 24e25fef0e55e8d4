// Package meter counts what a program asks of DynamoDB, in requests and in billed units computed from the real sizes of
// items, because emulators report units wrongly. Three words: a write unit is one write of up to 1 KB, twice that in a
// transaction; a read unit is one strongly consistent read of up to 4 KB; a cost is a sum of both.
//
// The formulas are those of the DynamoDB developer guide, "Read and write operations" and "Item sizes and formats".
package meter

import (
	"context"
	"math"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Cost is what some work asked for.
type Cost struct {
	Requests   int     `json:"requests"`
	WriteUnits float64 `json:"writeUnits"`
	ReadUnits  float64 `json:"readUnits"`
}

// Meter adds costs up. It is safe for concurrent use, and a nil Meter counts nothing.
type Meter struct {
	mu   sync.Mutex
	cost Cost
}

// Cost returns the sum so far.
func (m *Meter) Cost() Cost {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cost
}

func (m *Meter) add(c Cost) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cost.Requests += c.Requests
	m.cost.WriteUnits += c.WriteUnits
	m.cost.ReadUnits += c.ReadUnits
}

type contextKey struct{}

// With returns a context whose requests count on m too.
func With(ctx context.Context, m *Meter) context.Context {
	return context.WithValue(ctx, contextKey{}, m)
}

func from(ctx context.Context) *Meter {
	m, _ := ctx.Value(contextKey{}).(*Meter)
	return m
}

// WriteUnits are the units of writing an item of that many bytes once.
func WriteUnits(bytes int) float64 { return max(1, math.Ceil(float64(bytes)/1024)) }

// ReadUnits are the units of reading that many bytes, strongly consistent.
func ReadUnits(bytes int) float64 { return max(1, math.Ceil(float64(bytes)/4096)) }

// Size is an item's size in bytes as DynamoDB bills it.
func Size(item map[string]types.AttributeValue) int {
	n := 0
	for name, value := range item {
		n += len(name) + sizeOf(value)
	}
	return n
}

func sizeOf(value types.AttributeValue) int {
	switch v := value.(type) {
	case *types.AttributeValueMemberS:
		return len(v.Value)
	case *types.AttributeValueMemberB:
		return len(v.Value)
	case *types.AttributeValueMemberN:
		return numberSize(v.Value)
	case *types.AttributeValueMemberL:
		n := 3
		for _, e := range v.Value {
			n += 1 + sizeOf(e)
		}
		return n
	case *types.AttributeValueMemberM:
		return 3 + Size(v.Value) + len(v.Value)
	case *types.AttributeValueMemberSS:
		n := 0
		for _, s := range v.Value {
			n += len(s)
		}
		return n
	case *types.AttributeValueMemberNS:
		n := 0
		for _, s := range v.Value {
			n += numberSize(s)
		}
		return n
	case *types.AttributeValueMemberBS:
		n := 0
		for _, b := range v.Value {
			n += len(b)
		}
		return n
	default: // booleans and nulls
		return 1
	}
}

// numberSize counts a byte for two significant digits and one more. Zeroes at either end are not significant.
func numberSize(s string) int {
	digits := strings.Trim(strings.Replace(strings.TrimPrefix(s, "-"), ".", "", 1), "0")
	return (len(digits)+1)/2 + 1
}
