package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"defter/pkg/topology"
	"defter/pkg/view"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Stats are sums over all profiles.
type Stats struct {
	Customers     int64        `json:"customers"`
	Orders        int64        `json:"orders"`
	Events        int64        `json:"events"`
	LifetimeValue []view.Money `json:"lifetimeValue"`
	Lag           int          `json:"lag"`   // commits not projected yet, at most a page
	Waits         int          `json:"waits"` // journeys that wait
}

func (s *System) showStats(ctx context.Context, _ *http.Request) (any, error) { return s.Stats(ctx) }

// Stats adds up what the views show.
func (s *System) Stats(ctx context.Context) (Stats, error) {
	var stats Stats
	for _, r := range s.readers {
		lag, err := r.lag(ctx)
		if err != nil {
			return stats, err
		}
		stats.Lag = max(stats.Lag, lag)
	}
	var err error
	for _, m := range s.machines {
		waits, err := m.pendingExecutions(ctx)
		if err != nil {
			return stats, err
		}
		stats.Waits += waits
	}
	sums := map[string]int64{}
	profiles := &dynamodb.ScanInput{
		FilterExpression: aws.String("sk = :profile"), ProjectionExpression: aws.String("pk, n, d"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":profile": &types.AttributeValueMemberS{Value: view.Profiles.Name}},
	}
	err = s.scanViews(ctx, profiles, func(row view.Row) error {
		stats.Events += row.Version
		if !strings.HasPrefix(row.PK, "CUSTOMER#") {
			return nil
		}
		var p view.Profile
		if err := json.Unmarshal(row.Data, &p); err != nil {
			return fmt.Errorf("profile: %w", err)
		}
		stats.Customers++
		stats.Orders += p.Orders
		for _, m := range p.LifetimeValue {
			sums[m.Currency] += m.AmountMinor
		}
		return nil
	})
	stats.LifetimeValue = []view.Money{}
	for currency, minor := range sums {
		stats.LifetimeValue = append(stats.LifetimeValue, view.Money{Currency: currency, AmountMinor: minor})
	}
	slices.SortFunc(stats.LifetimeValue, func(a, b view.Money) int { return strings.Compare(a.Currency, b.Currency) })
	return stats, err
}

func (s *System) scanViews(ctx context.Context, in *dynamodb.ScanInput, visit func(view.Row) error) error {
	in.TableName = aws.String(topology.Views)
	for {
		out, err := s.client.Scan(ctx, in)
		if err != nil {
			return fmt.Errorf("scan views: %w", err)
		}
		for _, item := range out.Items {
			if err := visit(view.RowOf(item)); err != nil {
				return err
			}
		}
		if len(out.LastEvaluatedKey) == 0 {
			return nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// Digest stands for every projected row, to the byte.
type Digest struct {
	Rows   int    `json:"rows"`
	Digest string `json:"digest"`
}

// Rebuilt is what a rebuild of all views came to.
type Rebuilt struct {
	Before    Digest  `json:"before"`
	After     Digest  `json:"after"`
	Identical bool    `json:"identical"`
	Events    int64   `json:"events"`
	Seconds   float64 `json:"seconds"`
}

func (s *System) rebuild(ctx context.Context, _ *http.Request) (any, error) { return s.Rebuild(ctx) }

// Rebuild removes every projected row and makes it again from the store.
func (s *System) Rebuild(ctx context.Context) (Rebuilt, error) {
	var result Rebuilt
	var rows []view.Row
	var err error
	if result.Before, err = s.digest(ctx, func(r view.Row) { rows = append(rows, r) }); err != nil {
		return result, err
	}
	if err := s.App.Views.Remove(ctx, rows); err != nil {
		return result, err
	}
	began := time.Now()
	if result.Events, err = s.App.Views.Rebuild(ctx); err != nil {
		return result, err
	}
	result.Seconds = time.Since(began).Seconds()
	result.After, err = s.digest(ctx, func(view.Row) {})
	result.Identical = result.Before == result.After
	return result, err
}

func (s *System) digest(ctx context.Context, visit func(view.Row)) (Digest, error) {
	var sums []string
	err := s.scanViews(ctx, &dynamodb.ScanInput{}, func(row view.Row) error {
		if !view.Projected(row) {
			return nil
		}
		visit(row)
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%s\x00%s\x00%d", row.PK, row.SK, row.Version, row.Data, row.Sealed, row.TTL))
		sums = append(sums, string(sum[:]))
		return nil
	})
	slices.Sort(sums)
	all := sha256.New()
	for _, sum := range sums {
		_, _ = io.WriteString(all, sum) // never fails
	}
	return Digest{len(sums), hex.EncodeToString(all.Sum(nil))}, err
}
