// Package mailbox reads email addresses, so that one mailbox is one address however somebody types it. Three words: an address is
// shown as it was typed; its normal form is how it is compared, of which each mailbox has one; and mail goes to the normal form, whose
// domain is in ASCII, as mail servers take it.
package mailbox

import (
	"strings"
	"unicode"

	"defter/pkg/fault"
	"defter/pkg/foreign"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Limits of RFC 5321, 4.5.3.1, in bytes. A domain's label has at most 63, which idna checks.
const (
	maxLocal   = 64
	maxAddress = 254
)

// domains reads domain names as UTS 46 has it for looking them up: letters of any width and case are the same, and names in other
// scripts have an ASCII form.
var domains = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false), idna.VerifyDNSLength(true))

// Address is an email address.
type Address struct {
	Shown  string // as it was typed, without spaces around it and characters that nobody sees
	Normal string // as it is compared, and written to
}

// Parse reads an address. The name before the @ is taken in lower case, in Unicode's compatibility form (NFKC), in which ａｄａ is ada,
// since no mail service of today tells them apart; the domain in its ASCII form. It returns Invalid, "invalid-email", for what no mail
// can be sent to: spaces and other separators inside, quoted names, numbers for a domain, and what is longer than RFC 5321 allows.
func Parse(text string) (Address, error) {
	invalid := fault.New(fault.Invalid, "invalid-email", "email is not a valid address")
	shown := norm.NFC.String(strings.TrimSpace(foreign.Visible(text)))
	typed := norm.NFKC.String(shown)
	at := strings.LastIndexByte(typed, '@')
	if at < 0 || len(shown) > maxAddress || !isLocal(typed[:at]) {
		return Address{}, invalid
	}
	domain, err := domains.ToASCII(typed[at+1:])
	if err != nil || !isDomain(domain) {
		return Address{}, invalid
	}
	local := norm.NFKC.String(strings.ToLower(typed[:at]))
	a := Address{Shown: shown, Normal: local + "@" + domain}
	if len(local) > maxLocal || len(a.Normal) > maxAddress {
		return Address{}, invalid
	}
	return a, nil
}

// isLocal says whether a name may stand before the @: words with single dots between them (RFC 5321's Dot-string), whose letters may
// be of any script (RFC 6531).
func isLocal(name string) bool {
	for _, word := range strings.Split(name, ".") {
		if word == "" {
			return false
		}
		for _, r := range word {
			ascii := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
			if !ascii && (r < 0x80 || !unicode.IsGraphic(r) || unicode.IsSpace(r)) {
				return false
			}
		}
	}
	return true
}

// isDomain says whether a name in ASCII has two labels and more, of which the last is no number, as an IP address has it.
func isDomain(name string) bool {
	dot := strings.LastIndexByte(name, '.')
	return dot > 0 && strings.Trim(name[dot+1:], "0123456789") != ""
}

// Same says whether two addresses are of one mailbox. What is no address is of none.
func Same(a, b string) bool {
	one, err := Parse(a)
	if err != nil {
		return false
	}
	other, err := Parse(b)
	return err == nil && one.Normal == other.Normal
}
