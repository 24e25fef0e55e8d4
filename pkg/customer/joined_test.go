package customer_test

import (
	"fmt"
	"testing"

	"defter/pkg/customer"
)

// TestP18_TheLastWordOfAnAttribute counts, as whichever customer it was said, also where it removes the attribute. A visitor's counts where
// no customer ever said anything.
func TestP18_TheLastWordOfAnAttribute(t *testing.T) {
	said := func(at int64, attributes map[string]any, removed ...string) customer.Said {
		s := customer.Said{Attributes: attributes, Stamps: map[string]int64{}}
		for name := range attributes {
			s.Stamps[name] = at
		}
		for _, name := range removed {
			s.Stamps[name] = at
		}
		return s
	}
	type m = map[string]any
	for _, c := range []struct {
		name                string
		customers, visitors []customer.Said
		want                string
	}{
		{"nothing", nil, nil, "map[]"},
		{"one's own", []customer.Said{said(1, m{"plan": "gold"})}, nil, "map[plan:gold]"},
		{"a former id's, said later", []customer.Said{said(1, m{"plan": "gold", "size": 7}), said(2, m{"plan": "silver"})}, nil, "map[plan:silver size:7]"},
		{"a former id's, said earlier", []customer.Said{said(2, m{"plan": "gold"}), said(1, m{"plan": "silver"})}, nil, "map[plan:gold]"},
		{"at once", []customer.Said{said(1, m{"plan": "gold"}), said(1, m{"plan": "silver"})}, nil, "map[plan:silver]"},
		{"removed later", []customer.Said{said(1, m{"plan": "gold"}), said(2, nil, "plan")}, nil, "map[]"},
		{"removed earlier", []customer.Said{said(2, m{"plan": "gold"}), said(1, nil, "plan")}, nil, "map[plan:gold]"},
		{"a visitor's, of which nobody said anything", []customer.Said{said(1, m{"plan": "gold"})}, []customer.Said{said(9, m{"plan": "none", "ref": "ad"}), said(10, m{"ref": "mail"})}, "map[plan:gold ref:mail]"},
		{"a visitor's, that the customer removed", []customer.Said{said(1, nil, "ref")}, []customer.Said{said(9, m{"ref": "ad"})}, "map[]"},
	} {
		for range 2 {
			if got := fmt.Sprint(customer.JoinedAttributes(c.customers, c.visitors)); got != c.want {
				t.Errorf("%s: %s, want %s", c.name, got, c.want)
			}
			if n := len(c.customers); n > 1 { // the other way round
				c.customers[0], c.customers[n-1] = c.customers[n-1], c.customers[0]
			}
		}
	}
	s := customer.Evolve(customer.State{}, customer.AttributesUpdated{Attributes: m{"plan": "gold", "old": 1}}, noon)
	s = customer.Evolve(s, customer.AttributesUpdated{Attributes: m{"old": nil}}, noon.Add(1e9))
	s = customer.Evolve(s, customer.PhoneUpdated{NewPhone: "1"}, noon)
	if got, want := fmt.Sprint(s.Said()), fmt.Sprintf("{map[plan:gold] map[old:%d plan:%d]}", noon.UnixMilli()+1000, noon.UnixMilli()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
