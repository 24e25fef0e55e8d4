package money_test

import (
	"math"
	"math/big"
	"slices"
	"testing"

	"defter/pkg/money"

	"pgregory.net/rapid"
)

func TestAdd(t *testing.T) {
	const most, least = math.MaxInt64, math.MinInt64
	for _, c := range []struct{ a, b, want int64 }{
		{1, 2, 3}, {-1, 1, 0}, {most, 0, most}, {most, 1, most}, {most, most, most}, {least, -1, least}, {least, least, least}, {most, least, -1}, {least, 0, least},
	} {
		if got := money.Add(c.a, c.b); got != c.want {
			t.Errorf("%d + %d is %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestOf(t *testing.T) {
	for _, c := range []struct {
		price, quantity, total int64
		ok                     bool
	}{
		{0, 0, 0, true}, {250, 4, 1000, true}, {money.Max, 1, money.Max, true}, {money.Max / money.MaxQuantity, money.MaxQuantity, money.Max, true},
		{money.Max, 2, 2 * money.Max, false}, {money.Max + 1, 1, 0, false}, {1, money.MaxQuantity + 1, 0, false}, {-1, 1, 0, false}, {1, -1, 0, false},
		{math.MaxInt64, math.MaxInt64, 0, false},
	} {
		if total, ok := money.Of(c.price, c.quantity); total != c.total || ok != c.ok {
			t.Errorf("%d × %d is %d, %v, want %d, %v", c.quantity, c.price, total, ok, c.total, c.ok)
		}
	}
}

func TestShares(t *testing.T) {
	for _, c := range []struct {
		whole         int64
		weights, want []int64
	}{
		{4800, []int64{2000, 2000, 2000, 2000}, []int64{1200, 1200, 1200, 1200}},
		{100, []int64{1, 1, 1}, []int64{34, 33, 33}},
		{100, []int64{1, 2, 4}, []int64{14, 29, 57}}, // 14.28, 28.57, 57.14
		{5, []int64{0, 0}, []int64{3, 2}},
		{5, []int64{0, 7}, []int64{0, 5}},
		{0, []int64{3, 4}, []int64{0, 0}},
		{0, nil, []int64{}},
	} {
		if got := money.Shares(c.whole, c.weights); !slices.Equal(got, c.want) {
			t.Errorf("%d by %v is %v, want %v", c.whole, c.weights, got, c.want)
		}
	}
}

// TestSharesGiveTheWhole: the shares add up to the whole, and none is a unit or more from what is due.
func TestSharesGiveTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := rapid.Int64Range(0, 2*money.Max).Draw(t, "whole")
		weights := rapid.SliceOfN(rapid.Int64Range(0, money.Max), 1, 40).Draw(t, "weights")
		var total, sum int64
		for _, w := range weights {
			sum += w
		}
		for i, share := range money.Shares(whole, weights) {
			total += share
			if sum == 0 {
				continue
			}
			due := new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(whole), big.NewInt(weights[i])), big.NewInt(sum))
			if off := due.Sub(due, new(big.Rat).SetInt64(share)); off.Abs(off).Cmp(big.NewRat(1, 1)) >= 0 {
				t.Fatalf("share %d of %d by %v is %d", i, whole, weights, share)
			}
		}
		if total != whole {
			t.Fatalf("the shares of %d by %v are %d", whole, weights, total)
		}
	})
}

// TestPiecesGiveTheWhole: in however many steps pieces are taken, each costs the same but for a unit, and all are the whole.
func TestPiecesGiveTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole, count := rapid.Int64Range(0, money.Max).Draw(t, "whole"), rapid.Int64Range(1, money.MaxQuantity).Draw(t, "count")
		if got := money.Pieces(whole, count, count+rapid.Int64Range(0, 5).Draw(t, "beyond")); got != whole {
			t.Fatalf("all %d pieces of %d are %d", count, whole, got)
		}
		at := rapid.Int64Range(0, count-1).Draw(t, "at")
		if piece := money.Pieces(whole, count, at+1) - money.Pieces(whole, count, at); piece < whole/count || piece > whole/count+1 {
			t.Fatalf("piece %d of %d of %d costs %d", at, count, whole, piece)
		}
	})
	if money.Pieces(100, 0, 1) != 0 || money.Pieces(100, 4, -1) != 0 {
		t.Error("no pieces cost something")
	}
}
