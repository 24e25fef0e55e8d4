package mailbox_test

import (
	"strings"
	"testing"

	"defter/pkg/fault"
	"defter/pkg/mailbox"

	"pgregory.net/rapid"
)

// TestP10_OneMailboxIsOneAddress, however it is typed, pasted or written.
func TestP10_OneMailboxIsOneAddress(t *testing.T) {
	for _, c := range []struct {
		normal string
		typed  []string
	}{
		{"ada@example.com", []string{
			"ada@example.com", "Ada@Example.COM", " ada@example.com\n", "a\u200bda@example.com", "ada\u00ad@example.com", "\u202aada@example.com\u202c", "ada@exa\u200bmple.com",
			"\ufeffada@example.com", "ａｄａ@example.com", "ada@ｅｘａｍｐｌｅ.com", "ada＠example.com", "ada@example。com", "\u2028ada@example.com", "ada@example.com\u00a0",
		}},
		{"ada@xn--bcher-kva.example", []string{"ada@bücher.example", "ada@bu\u0308cher.example", "ada@xn--bcher-kva.example", "ADA@BÜCHER.example", "ada@XN--BCHER-KVA.example"}},
		{"josé@example.com", []string{"jos\u00e9@example.com", "jose\u0301@example.com", "JOSÉ@example.com"}},
		{"ada+shop@mail.example.co.uk", []string{"ada+shop@mail.example.co.uk"}},
	} {
		for _, typed := range c.typed {
			if a, err := mailbox.Parse(typed); err != nil || a.Normal != c.normal {
				t.Errorf("%q: %+v, %v; want %q", typed, a, err, c.normal)
			}
			if !mailbox.Same(typed, c.typed[0]) {
				t.Errorf("%q is not of the mailbox %q", typed, c.typed[0])
			}
		}
	}
	if a, _ := mailbox.Parse(" Ada.B\u00fcro@B\u00fccher\u200b.example "); a.Shown != "Ada.Büro@Bücher.example" || a.Normal != "ada.büro@xn--bcher-kva.example" {
		t.Errorf("it is shown as %q and written to as %q", a.Shown, a.Normal)
	}
}

func TestP10_NoMailboxes(t *testing.T) {
	label := strings.Repeat("l", 63)
	for _, no := range []string{
		"", "ada", "@example.com", "ada@", "ada@localhost", "a@-b.com", "a@b-.com", "a@127.0.0.1", "a@[127.0.0.1]", "a@b..com", "a@.com", "a@b.com.", "a@" + label + "l.com",
		".a@b.com", "a.@b.com", "a..b@c.com", "a b@c.com", "a@b c.com", "a\u2028b@c.com", "a\u0000@b.com", "a@b_c.com", "\"a\"@b.com", "a@b@c.com", "a,b@c.com", "<a@b.com>", "Ada <a@b.com>",
		"a(b)@c.com", "a\\@b.com", "a@b.com,c@d.com", strings.Repeat("a", 65) + "@b.com", "a@" + strings.Repeat(label+".", 4) + "com", "a@xn--zz.com",
	} {
		if a, err := mailbox.Parse(no); fault.SlugOf(err) != "invalid-email" {
			t.Errorf("%q is read as %+v", no, a)
		}
		if mailbox.Same(no, no) {
			t.Errorf("%q is a mailbox", no)
		}
	}
	long := strings.Repeat("a", 64) + "@" + label + "." + label + "." + strings.Repeat("l", 57) + ".com"
	if _, err := mailbox.Parse(long); err != nil || len(long) != 254 {
		t.Errorf("an address of %d bytes: %v", len(long), err)
	}
	if _, err := mailbox.Parse("a" + long); err == nil {
		t.Error("an address of 255 bytes is read")
	}
}

// TestTheNormalFormIsOne: whatever is read in one form is read in all of its forms, and as the same.
func TestTheNormalFormIsOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typed := rapid.StringMatching(`[A-Za-zÀ-ÿａ-ｚİıßΣ0-9+._-]{1,12}@[A-Za-zÀ-ÿａ-ｚß0-9-]{1,10}\.(com|example|рф)`).Draw(t, "typed")
		a, err := mailbox.Parse(typed)
		if err != nil {
			return
		}
		for _, form := range []string{a.Shown, a.Normal, strings.ToUpper(a.Normal)} {
			if again, err := mailbox.Parse(form); err != nil || again.Normal != a.Normal && form != strings.ToUpper(a.Normal) {
				t.Fatalf("%q is %+v, and its form %q is %+v, %v", typed, a, form, again, err)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"ada@example.com", "ａｄａ@bücher.example", "a@-b.com", "a\u200b@b.com"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		a, err := mailbox.Parse(typed)
		if err != nil {
			return
		}
		if again, err := mailbox.Parse(a.Normal); err != nil || again.Normal != a.Normal {
			t.Errorf("%q is %q, and that is %+v, %v", typed, a.Normal, again, err)
		}
		if strings.ContainsAny(a.Normal, " \r\n\t<>,;:\"()[]") || len(a.Normal) > 254 {
			t.Errorf("%q is written to as %q", typed, a.Normal)
		}
	})
}
