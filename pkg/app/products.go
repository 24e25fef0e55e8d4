package app

import (
	"context"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/lambdaio"
	"defter/pkg/product"
)

// ProductRequest is the body of PUT /v1/products/{id}: what is so now; what is absent is not said.
type ProductRequest struct {
	Quantity   *int64  `json:"quantity,omitempty" minimum:"0" description:"pieces in stock"`
	PriceMinor *int64  `json:"priceMinor,omitempty" minimum:"0" description:"in minor units of currency"`
	Currency   *string `json:"currency,omitempty" pattern:"^[A-Z]{3}$" description:"said with priceMinor"`
}

// ProductShown is a product as the API shows it.
type ProductShown struct {
	ProductID string `json:"productId"`
	product.State
}

// reportProduct answers PUT /v1/products/{id} with the product. Changes are events on the bus, and told again they are none.
func (a *App) reportProduct(ctx context.Context, c *Call) (lambdaio.Response, error) {
	var in ProductRequest
	if err := decode(c, &in); err != nil {
		return lambdaio.Response{}, err
	}
	id, err := productID(c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	currency := ""
	if err := given("currency", &currency, in.Currency); err != nil {
		return lambdaio.Response{}, err
	}
	head, err := a.commit(ctx, c, product.Stream(id), id, 200, product.Fold, func(h *eventstore.Head) ([]any, []eventstore.Claim, error) {
		events, err := product.Decide(product.Fold.Of(h), product.Report{ProductID: id, Quantity: in.Quantity, PriceMinor: in.PriceMinor, Currency: currency})
		return events, nil, err
	})
	if err != nil {
		return lambdaio.Response{}, err
	}
	return lambdaio.Response{Status: 200, Body: ProductShown{id, product.Fold.Of(head)}}, nil
}

// repeatProduct answers PUT /v1/products/{id} again, with what was said of the product by now.
func (a *App) repeatProduct(ctx context.Context, _ *Call, id string, _ int64, _ int) (lambdaio.Response, error) {
	return a.productAnswer(ctx, id)
}

// getProduct answers GET /v1/products/{id}.
func (a *App) getProduct(ctx context.Context, c *Call) (lambdaio.Response, error) {
	id, err := productID(c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	return a.productAnswer(ctx, id)
}

func (a *App) productAnswer(ctx context.Context, id string) (lambdaio.Response, error) {
	head, err := a.Log.Load(ctx, product.Stream(id), product.Fold)
	if err != nil {
		return lambdaio.Response{}, err
	}
	if head.Version == 0 {
		return lambdaio.Response{}, fault.New(fault.NotFound, "product-not-found", "nothing was said of this product")
	}
	return lambdaio.Response{Status: 200, Body: ProductShown{id, product.Fold.Of(head)}}, nil
}

func productID(c *Call) (string, error) {
	if id := c.Params["id"]; plain(id) && id != "" {
		return id, nil
	}
	return "", fault.New(fault.Invalid, "invalid-id", "a product's id has up to 100 letters, digits and ._:-")
}
