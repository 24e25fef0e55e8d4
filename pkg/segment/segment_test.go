package segment_test

import (
	"testing"

	"defter/pkg/eventstore/storetest"
	"defter/pkg/segment"
)

// TestB57_BuyersAreAddedOnce: on the first payment, and not on every later one.
func TestB57_BuyersAreAddedOnce(t *testing.T) {
	nobody := storetest.Deciding(segment.Decider)
	added := segment.Added{SegmentID: segment.Buyers, SegmentName: "Satin Alan Musteriler", Source: "rule:first-payment"}
	nobody.When(t, segment.Paid{}).Then(added).Again().Nothing()
	nobody.Given(segment.Added{SegmentID: "vip"}).When(t, segment.Paid{}).Then(added).Again().Nothing()
	nobody.Given(added, segment.Removed{SegmentID: segment.Buyers}).When(t, segment.Paid{}).Then(added)
	nobody.Given(added, segment.Removed{SegmentID: "vip"}).When(t, segment.Paid{}).Nothing()
}
