package product_test

import (
	"testing"

	"defter/pkg/eventstore/storetest"
	"defter/pkg/product"
)

func TestReport(t *testing.T) {
	n := func(n int64) *int64 { return &n }
	unknown := storetest.Deciding(product.Decider)
	first := product.InventoryChanged{ProductID: "shoe", NewQuantity: 5}
	price := product.PriceChanged{ProductID: "shoe", NewPriceMinor: 2000, NewCurrency: "TRY"}
	all := product.Report{ProductID: "shoe", Quantity: n(5), PriceMinor: n(2000), Currency: "TRY"}
	unknown.When(t, all).Then(first, price).Again().Nothing()
	known := unknown.Given(first, price)
	known.When(t, product.Report{ProductID: "shoe", Quantity: n(0)}).Then(product.InventoryChanged{ProductID: "shoe", OldQuantity: n(5)})
	known.When(t, product.Report{ProductID: "shoe", PriceMinor: n(2000), Currency: "EUR"}).
		Then(product.PriceChanged{ProductID: "shoe", OldPriceMinor: n(2000), OldCurrency: "TRY", NewPriceMinor: 2000, NewCurrency: "EUR"})
	known.When(t, product.Report{ProductID: "shoe"}).Nothing()
	for _, wrong := range []product.Report{
		{Quantity: n(-1)}, {Quantity: n(1 << 40)}, {PriceMinor: n(1)}, {Currency: "TRY"}, {PriceMinor: n(-1), Currency: "TRY"}, {PriceMinor: n(1), Currency: "try"},
		{PriceMinor: n(1), Currency: "TR"},
	} {
		known.When(t, wrong).Fails("invalid-product")
	}
}
