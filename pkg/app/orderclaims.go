package app

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"defter/pkg/eventstore"
	"defter/pkg/order"
)

// orderClaim names an order for good. Its value says whose it is and where it begins: "<stream> <version>".
func (a *App) orderClaim(ctx context.Context, id string) (string, error) {
	key, err := a.orderKey(ctx, id)
	return orderPrefix + key, err
}

// orderKey is by what an order's id is known where it cannot be erased: itself, or a keyed hash if it could tell something.
func (a *App) orderKey(ctx context.Context, id string) (string, error) {
	if a.Settings.Opaque(id) {
		return id, nil
	}
	hash, err := a.Keyring.Lookup(ctx, "order", id)
	return "h_" + hash, err
}

// orderOf is which of the orders has the key; "" for none.
func (a *App) orderOf(ctx context.Context, key string, ids iter.Seq[string]) (string, error) {
	for id := range ids {
		if known, err := a.orderKey(ctx, id); err != nil || known == key {
			return id, err
		}
	}
	return "", nil
}

const orderPrefix = "UNIQUE#order#"

// orderClaims are the claims on the orders that the events of a commit place. Each says where its order begins.
func (a *App) orderClaims(ctx context.Context, h *eventstore.Head, events []any) ([]eventstore.Claim, error) {
	var claims []eventstore.Claim
	for i, event := range events {
		if placed, ok := event.(order.Placed); ok {
			key, err := a.orderClaim(ctx, placed.OrderID)
			if err != nil {
				return nil, err
			}
			claims = append(claims, eventstore.Claim{
				Key: key, Owner: a.NewID(), Value: []byte(h.Stream + " " + strconv.FormatInt(h.Version+1+int64(i), 10)),
			})
		}
	}
	return claims, nil
}

// ownerOf is the stream that an order is in, and the version it begins at; ok is false for an order that nobody has told of.
func (a *App) ownerOf(ctx context.Context, orderID string) (stream string, version int64, ok bool, err error) {
	key, err := a.orderClaim(ctx, orderID)
	if err != nil {
		return "", 0, false, err
	}
	return a.holderOf(ctx, key)
}

// holderOf is what the claim on an order says.
func (a *App) holderOf(ctx context.Context, key string) (stream string, version int64, ok bool, err error) {
	held, ok, err := a.Log.Store.Claimed(ctx, key)
	if err != nil || !ok {
		return "", 0, false, err
	}
	stream, from, _ := strings.Cut(string(held.Value), " ")
	version, err = strconv.ParseInt(from, 10, 64)
	if err != nil {
		return "", 0, false, fmt.Errorf("the claim of an order: %w", err)
	}
	return stream, version, true, nil
}
