package main

import (
	"math"
	"slices"
	"time"
)

// median of a list that is not empty.
func median(values []float64) float64 { return percentile(values, 50) }

// percentile is the value that p percent of the values do not exceed (nearest rank), and the middle of two for the
// median of an even number.
func percentile(values []float64, p float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if p == 50 && len(sorted)%2 == 0 {
		return (sorted[len(sorted)/2-1] + sorted[len(sorted)/2]) / 2
	}
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
