package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"defter/pkg/customer"
	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/lambdaio"
	"defter/pkg/record"
)

// updateProfile answers PATCH /v1/customers/{id}, a JSON merge patch (RFC 7396).
func (a *App) updateProfile(ctx context.Context, c *Call) (lambdaio.Response, error) {
	stream, err := a.customerStream(ctx, c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	patch, err := profilePatch(c)
	if err != nil {
		return lambdaio.Response{}, err
	}
	today := a.Now().UTC().Format(time.DateOnly)
	return a.customerCommand(ctx, c, stream, func(s record.State, at time.Time) ([]any, []eventstore.Claim, error) {
		update, err := patch(s.Customer)
		if err != nil {
			return nil, nil, err
		}
		update.Today = today
		events, err := customer.Decide(s.Customer, update)
		return events, nil, err
	})
}

// ProfilePatch is the body of PATCH /v1/customers/{id}: null clears a field, what is absent stays.
type ProfilePatch struct {
	FirstName   *string           `json:"firstName,omitempty" maxLength:"100" nullable:"true"`
	LastName    *string           `json:"lastName,omitempty" maxLength:"100" nullable:"true"`
	Phone       *string           `json:"phone,omitempty" maxLength:"32" nullable:"true"`
	DateOfBirth *string           `json:"dateOfBirth,omitempty" format:"date" nullable:"true"`
	Address     *customer.Address `json:"address,omitempty" nullable:"true"`
	Attributes  map[string]any    `json:"attributes,omitempty" description:"null removes an attribute"`
}

// profilePatch reads the patch. What becomes of the address and the attributes depends on what they were.
func profilePatch(c *Call) (func(customer.State) (customer.UpdateProfile, error), error) {
	var in ProfilePatch
	if err := decodePatch(c, &in); err != nil {
		return nil, err
	}
	var present map[string]json.RawMessage
	if err := json.Unmarshal(c.Body, &present); err != nil && len(bytes.TrimSpace(c.Body)) > 0 {
		return nil, fault.New(fault.Invalid, "invalid-json", "%s", jsonDetail(err))
	}
	cleared := func(name string) bool { return string(present[name]) == "null" }
	empty := ""
	for name, field := range map[string]**string{"firstName": &in.FirstName, "lastName": &in.LastName, "phone": &in.Phone, "dateOfBirth": &in.DateOfBirth} {
		if cleared(name) {
			*field = &empty
		}
	}
	for name, value := range in.Attributes {
		if name == "" || len(name) > 100 {
			return nil, fault.New(fault.Invalid, "invalid-attribute", "an attribute's name has 1 to 100 bytes")
		}
		if err := checkAttribute(value, 1); err != nil {
			return nil, err
		}
	}
	return func(s customer.State) (customer.UpdateProfile, error) {
		update := customer.UpdateProfile{
			FirstName: in.FirstName, LastName: in.LastName, Phone: in.Phone, DateOfBirth: in.DateOfBirth,
			ClearAddress: cleared("address"), Attributes: in.Attributes,
		}
		if cleared("attributes") {
			update.Attributes = make(map[string]any, len(s.Attributes))
			for name := range s.Attributes {
				update.Attributes[name] = nil
			}
		}
		if in.Address == nil {
			return update, nil
		}
		address, err := mergedAddress(s.Address, present["address"])
		if address == (customer.Address{}) {
			update.ClearAddress = true
		} else {
			update.Address = &address
		}
		return update, err
	}, nil
}

// maxAttributeDepth is how deep lists and objects may be nested in an attribute.
const maxAttributeDepth = 20

// checkAttribute refuses what no machine could read again.
func checkAttribute(value any, depth int) error {
	if depth > maxAttributeDepth {
		return fault.New(fault.Invalid, "invalid-attribute", "an attribute is nested at most %d deep", maxAttributeDepth)
	}
	switch v := value.(type) {
	case json.Number:
		if _, err := v.Float64(); err != nil {
			return fault.New(fault.Invalid, "invalid-attribute", "an attribute's number is beyond the range of machines")
		}
	case []any:
		for _, element := range v {
			if err := checkAttribute(element, depth+1); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, member := range v {
			if err := checkAttribute(member, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// mergedAddress is an address after a JSON merge patch of it, whose types are checked already.
func mergedAddress(old *customer.Address, patch json.RawMessage) (merged customer.Address, err error) {
	if old != nil {
		merged = *old
	}
	var parts map[string]*string
	if err := json.Unmarshal(patch, &parts); err != nil {
		return merged, fmt.Errorf("read the address: %w", err)
	}
	for name, part := range parts {
		if part == nil {
			parts[name] = new(string)
		}
	}
	data, err := json.Marshal(parts)
	if err != nil {
		return merged, fmt.Errorf("read the address: %w", err)
	}
	return merged, json.Unmarshal(data, &merged)
}
