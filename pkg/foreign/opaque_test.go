package foreign_test

import (
	"encoding/base64"
	"encoding/hex"
	"testing"

	"defter/pkg/foreign"
)

// TestS8_WhatTellsNothing of a person is a UUID, hexadecimal digits, a short number or a hash of ours. Everything else may tell something.
func TestS8_WhatTellsNothing(t *testing.T) {
	for _, id := range []string{
		"", "0198f3a0-1c2d-7e3f-8a4b-5c6d7e8f9a0b", "0198F3A0-1C2D-7E3F-8A4B-5C6D7E8F9A0B", "507f1f77bcf86cd799439011", "7", "12345678", "u1", "user-42", "order_1001", "SKU-7",
		"h_eDSgCzVW3E3XcsEuIXnP4A",
	} {
		if !foreign.Opaque(id) {
			t.Errorf("%q counts as telling", id)
		}
	}
	address := "ada@mail.example"
	for _, id := range []string{
		address, "tel-905551234567", "u905551234567", "905551234567", "123456789", "TR1234567890", "TR330006100519786457841326", "ada", "ada-lovelace", "ada1815", "Ada Lovelace",
		base64.StdEncoding.EncodeToString([]byte(address)), base64.RawURLEncoding.EncodeToString([]byte(address)), hex.EncodeToString([]byte(address)), hex.EncodeToString([]byte("Ada Lovelace, London")),
		"h_" + base64.RawURLEncoding.EncodeToString([]byte(address)), "1234567890123456", "12345678901234567890abcd", "1815-12-10", "x-y-z",
	} {
		if foreign.Opaque(id) {
			t.Errorf("%q counts as opaque", id)
		}
	}
}

// TestS8_APatternFitsAnIDWhole, and one that does not read as it was meant is refused.
func TestS8_APatternFitsAnIDWhole(t *testing.T) {
	for _, wrong := range []string{"(", `\QORD-`, "a)|(b", "a)(b"} {
		if p, err := foreign.OpaquePattern(wrong); err == nil {
			t.Errorf("%q is taken as %s", wrong, p)
		}
	}
	p, err := foreign.OpaquePattern(`ORD-\d+|A`)
	if err != nil || !p.MatchString("ORD-7") || !p.MatchString("A") || p.MatchString("ORD-7 of ada@mail.example") || p.MatchString("ADA") {
		t.Errorf("%s: %v", p, err)
	}
	if p, err := foreign.OpaquePattern(""); p != nil || err != nil {
		t.Errorf("none is %s: %v", p, err)
	}
}
