package app

import (
	"maps"
	"testing"

	"defter/pkg/eventstore"
)

// TestP5_WhatIsLeftUnreadIsCounted by its reason, once a message however many events it became.
func TestP5_WhatIsLeftUnreadIsCounted(t *testing.T) {
	var u unread
	u.add([]eventstore.New{
		{Message: "m1", Notes: []string{"properties.currency:unreadable", "timestamp:ambiguous"}}, {Message: "m1", Notes: []string{"properties.currency:unreadable"}},
		{Message: "m2", Notes: []string{"properties.currency:unreadable"}}, {Message: "m3"},
	}, []string{"traits.email:unreadable"})
	if want := map[string]int{"unreadable": 3, "ambiguous": 1}; !maps.Equal(u.reasons, want) {
		t.Errorf("counted %v, want %v", u.reasons, want)
	}
	(*unread)(nil).add([]eventstore.New{{Notes: []string{"a:b"}}}, nil) // where nobody counts
}
