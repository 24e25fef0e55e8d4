// Package money holds what every amount keeps to, whichever way it comes in. Three words: a minor unit is the smallest that a
// currency has, such as a cent, and every amount is a whole number of them; a bound is the most that one amount, or one number of
// pieces, may be; a share is the part of a whole that falls to one of several, so divided that the shares give the whole again.
package money

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
)

// Bounds of what is told. The schemas of the events repeat them, so that nothing beyond them is ever stored.
const (
	Max         = 1_000_000_000_000 // minor units of one amount
	MaxQuantity = 1_000_000         // pieces
)

// Add is the sum of two amounts. One that no int64 can hold stays at the end of the range: a sum that is folded from what has
// happened cannot fail, and must not turn into its opposite.
func Add(a, b int64) int64 {
	switch sum := a + b; {
	case a > 0 && b > 0 && sum < 0:
		return math.MaxInt64
	case a < 0 && b < 0 && sum >= 0:
		return math.MinInt64
	default:
		return sum
	}
}

// Of is what so many pieces of a price cost; ok is false where the price, the number of pieces or the product is out of bounds.
func Of(price, quantity int64) (total int64, ok bool) {
	if price < 0 || price > Max || quantity < 0 || quantity > MaxQuantity {
		return 0, false
	}
	total = price * quantity // 10^18 at most
	return total, total <= Max
}

// Shares divides a whole among parts by their weights, so that the shares add up to the whole: each gets what is due to it rounded
// down, and the units that are left go one each to those with the largest remainders, of equal ones to the earlier. Where no part
// weighs anything, all weigh the same. Neither the whole nor a weight may be negative, nor the weights' sum beyond an int64.
func Shares(whole int64, weights []int64) []int64 {
	shares := make([]int64, len(weights))
	if len(weights) == 0 {
		return shares
	}
	var sum int64
	for _, w := range weights {
		sum += w
	}
	if sum == 0 {
		weights = slices.Repeat([]int64{1}, len(weights))
		sum = int64(len(weights))
	}
	left := whole
	remainders := make([]uint64, len(weights))
	order := make([]int, len(weights))
	for i, w := range weights {
		high, low := bits.Mul64(uint64(whole), uint64(w))
		due, remainder := bits.Div64(high, low, uint64(sum)) // high < sum, since w ≤ sum and whole < 2^64
		shares[i], remainders[i], order[i] = int64(due), remainder, i
		left -= int64(due)
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(remainders[b], remainders[a]), cmp.Compare(a, b))
	})
	for _, i := range order[:left] {
		shares[i]++
	}
	return shares
}

// Pieces is the share of the first so many of equal pieces: those that get a unit more stand first. All pieces together have the
// whole.
func Pieces(whole, count, first int64) int64 {
	if count <= 0 {
		return 0
	}
	first = min(max(first, 0), count)
	return whole/count*first + min(whole%count, first)
}

// IsCurrency says whether a text has the form of an ISO 4217 code: three capital letters.
func IsCurrency(code string) bool {
	return len(code) == 3 && !slices.ContainsFunc([]byte(code), func(b byte) bool { return b < 'A' || b > 'Z' })
}
