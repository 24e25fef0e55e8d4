package foreign_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/foreign"

	"pgregory.net/rapid"
)

func object(raw string) (foreign.Object, *foreign.Notes) {
	notes := &foreign.Notes{}
	return foreign.In(json.RawMessage(raw), "", notes), notes
}

// TestP5_NumbersOfOneMeaning are read whatever their form, and the others are not guessed.
func TestP5_NumbersOfOneMeaning(t *testing.T) {
	for text, want := range map[string]string{
		"4": "4", "4.0": "4", "4.000": "4", " 4 ": "4", "+4": "4", "-4": "-4", "\u22124": "-4", "04": "4", "-0": "0", "4e0": "4", "1e3": "1000", "12.5E-1": "1.25",
		".5": "0.5", "5.": "5", "12.50": "12.5", "12,50": "12.5", "0,125": "0.125", "1234,567": "1234.567", "1,234.50": "1234.5", "1.234,50": "1234.5",
		"1 234,50": "1234.5", "1\u202f234,567": "1234.567", "1'234.50": "1234.5", "1’234": "1234", "1,234,567": "1234567", "1.234.567": "1234567", "1.234.567,89": "1234567.89",
		"４２": "42", "12345678901234567891": "12345678901234567891", "0.1000000000000000055511151231257827": "0.1000000000000000055511151231257827",
	} {
		if got, reason := foreign.Decimal(text); got != want || reason != "" {
			t.Errorf("%q: %q, %s; want %q", text, got, reason, want)
		}
	}
	for text, want := range map[string]string{
		"1,234": foreign.Ambiguous, "-12,345": foreign.Ambiguous, "": foreign.Unreadable, "-": foreign.Unreadable, "1,234,56": foreign.Unreadable, "1,2,3": foreign.Unreadable,
		"12,50 TL": foreign.Unreadable, "4 pieces": foreign.Unreadable, "NaN": foreign.Unreadable, "Infinity": foreign.Unreadable, "0x10": foreign.Unreadable, "1e31": foreign.Unreadable,
		"1.2.3": foreign.Unreadable, "0,234,567": foreign.Unreadable, "--4": foreign.Unreadable, strings.Repeat("9", 41): foreign.Unreadable, strings.Repeat("9", 41) + ",5": foreign.Unreadable,
		"1234 567": foreign.Unreadable, "1 23": foreign.Unreadable,
	} {
		if got, reason := foreign.Decimal(text); got != "" || reason != want {
			t.Errorf("%q: %q, %s; want %s", text, got, reason, want)
		}
	}
}

// TestNumbersStayThemselves, however they are written.
func TestNumbersStayThemselves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := rapid.StringMatching(`0|[1-9][0-9]{0,14}`).Draw(t, "whole")
		fraction := rapid.StringMatching(`[0-9]{0,6}`).Draw(t, "fraction")
		sign := rapid.SampledFrom([]string{"", "-"}).Draw(t, "sign")
		want, reason := foreign.Decimal(sign + whole + "." + fraction)
		if reason != "" {
			t.Fatal(reason)
		}
		grouped := whole
		for at := len(grouped) - 3; at > 0; at -= 3 {
			grouped = grouped[:at] + " " + grouped[at:]
		}
		for _, form := range []string{"\t" + sign + whole + "." + fraction + "00", sign + whole + fraction + "e-" + string(rune('0'+len(fraction))), sign + grouped + "." + fraction + "0"} {
			if got, reason := foreign.Decimal(form); got != want || reason != "" {
				t.Fatalf("%q: %q, %s; want %q", form, got, reason, want)
			}
		}
	})
}

// TestP5_CurrenciesByAnyName of one meaning.
func TestP5_CurrenciesByAnyName(t *testing.T) {
	for raw, want := range map[string]string{
		`"TRY"`: "TRY", `"try"`: "TRY", `"TL"`: "TRY", `"tl"`: "TRY", `"TRL"`: "TRY", `"₺"`: "TRY", `"EUR "`: "EUR", `"€"`: "EUR", `"Euro"`: "EUR", `978`: "EUR",
		`978.0`: "EUR", `"978"`: "EUR", `"036"`: "AUD", `36`: "AUD", `"ＵＳＤ"`: "USD", `"US$"`: "USD", `"E\u200bUR"`: "EUR", `"XCG"`: "XCG", `"zł"`: "PLN",
	} {
		o, notes := object(`{"currency":` + raw + `}`)
		if got, told := o.Currency("currency"); got != want || told != foreign.Read || notes.List() != nil {
			t.Errorf("%s: %q, %v, %q; want %q", raw, got, told, notes.List(), want)
		}
	}
	for raw, want := range map[string]string{
		`"$"`: foreign.Unreadable, `"£"`: foreign.Unreadable, `"dollars"`: foreign.Unreadable, `"EU"`: foreign.Unreadable, `999999`: foreign.Unreadable, `532`: foreign.Unreadable,
		`"1.5"`: foreign.Unreadable, `true`: foreign.WrongType, `{}`: foreign.WrongType, `["EUR"]`: foreign.WrongType,
	} {
		o, notes := object(`{"currency":` + raw + `}`)
		if got, told := o.Currency("currency"); got != "" || told != foreign.Unread || !slices.Equal(notes.List(), []string{"currency:" + want}) {
			t.Errorf("%s: %q, %v, %q; want %s", raw, got, told, notes.List(), want)
		}
	}
	for _, raw := range []string{`{}`, `{"currency":null}`, `{"currency":""}`, `{"currency":" "}`} {
		o, notes := object(raw)
		if got, told := o.Currency("currency"); got != "" || told != foreign.Absent || notes.List() != nil {
			t.Errorf("%s: %q, %v, %q; want nothing told", raw, got, told, notes.List())
		}
	}
}

// TestP5_TimesOfOneMeaning are read whatever their form.
func TestP5_TimesOfOneMeaning(t *testing.T) {
	at := time.Date(2024, 2, 29, 5, 0, 0, 0, time.UTC)
	half := at.Add(500 * time.Millisecond)
	for text, want := range map[string]foreign.Moment{
		"2024-02-29T08:00:00+03:00": {At: at}, "2024-02-29T08:00:00+0300": {At: at}, "2024-02-29T08:00:00+03": {At: at}, "2024-02-29 08:00:00 +0300": {At: at},
		"2024-02-29T05:00:00Z": {At: at}, "2024-02-29t05:00:00z": {At: at}, "2024-02-29T05:00Z": {At: at}, "20240229T050000Z": {At: at}, "20240229T080000+0300": {At: at},
		"20240229T0500Z": {At: at}, "2024/02/29 05:00:00 UTC": {At: at}, "2024-02-29T05:00:00.5Z": {At: half}, "2024-02-29T05:00:00,5Z": {At: half},
		"2024-02-29T05:00:00.5:Z": {At: half}, "20240229T050000.500Z": {At: half}, "2024-02-29T05:00:00Z[UTC]": {At: at}, "2024-02-29T08:00+03:00[Europe/Istanbul]": {At: at},
		"2024-02-29 08:00:00.5 +0300 +03 m=+0.012": {At: half}, "2024-02-28T22:30:00-06:30": {At: at}, " 2024-02-29T05:00:00.500000000Z ": {At: half},
		"1709182800": {At: at}, "1709182800.5": {At: half}, "1709182800500": {At: half}, "1709182800500000": {At: half}, "1709182800500000000": {At: half}, "1.7091828e9": {At: at},
		"Thu, 29 Feb 2024 05:00:00 GMT": {At: at}, "Thu, 29 Feb 2024 08:00:00 +0300": {At: at}, "Thu Feb 29 2024 08:00:00 GMT+0300 (GMT+03:00)": {At: at},
		"2024-02-29 05:00:00": {At: at, Local: true}, "2024-02-29T05:00:00.5": {At: half, Local: true}, "20240229T050000": {At: at, Local: true},
	} {
		if got, reason := foreign.Time(text); !got.At.Equal(want.At) || got.Local != want.Local || reason != "" {
			t.Errorf("%q: %+v, %s; want %+v", text, got, reason, want)
		}
	}
	for _, text := range []string{
		"", "yesterday", "2024-02-29", "20240229", "20240229080000", "02/03/2024 08:00:00", "2024-02-30T08:00:00Z", "2024-13-01T08:00:00Z", "2024-02-29T24:00:00Z", "2024-02-29T08:60:00Z",
		"2024-02-29T08:00:00 PM", "2024-02-29T08:00:00+15:00", "2024-02-29T08:00:00.Z", "2024-02-29T08:00:00Q", "2024-02-29T08:00:00+03:00x", "0", "-1709182800", "17000", "12345678901",
		"Thu, 29 Feb 2024 05:00:00 EST", "2024-2-29T08:00:00Z", "2024-02/29T08:00:00Z", strings.Repeat("1", 100),
	} {
		if got, reason := foreign.Time(text); reason != foreign.Unreadable {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}

func TestDates(t *testing.T) {
	for raw, want := range map[string]string{
		`"1815-12-10"`: "1815-12-10", `"1815-12-10T00:00:00Z"`: "1815-12-10", `"18151210"`: "1815-12-10", `"1815/12/10"`: "1815-12-10", `"1815-12-10 00:00"`: "1815-12-10",
		`"10.12.1815"`: "", `"1815-02-30"`: "", `"1815-12-10x"`: "", `-4860000000`: "", `"last year"`: "",
	} {
		o, notes := object(`{"birthday":` + raw + `}`)
		if got, _ := o.Date("birthday"); got != want || (notes.List() == nil) != (want != "") {
			t.Errorf("%s: %q, %q; want %q", raw, got, notes.List(), want)
		}
	}
}

func TestTexts(t *testing.T) {
	for raw, want := range map[string]string{
		`"6420"`: "6420", `6420`: "6420", `6420.0`: "6420", `49301234`: "49301234", `12345678901234567891`: "12345678901234567891", `7.50`: "7.5", `"e\u0301"`: "é", `""`: "", `null`: "",
	} {
		o, notes := object(`{"text":` + raw + `}`)
		if got := o.Text(100, "text"); got != want || notes.List() != nil {
			t.Errorf("%s: %q, %q; want %q", raw, got, notes.List(), want)
		}
	}
	for raw, want := range map[string]string{`true`: "text:wrong-type", `{}`: "text:wrong-type", `[]`: "text:wrong-type", `"ışıl"`: "text:cut"} {
		o, notes := object(`{"text":` + raw + `}`)
		if got := o.Text(4, "text"); !slices.Equal(notes.List(), []string{want}) || got != "" && got != "ış" {
			t.Errorf("%s: %q, %q; want %s", raw, got, notes.List(), want)
		}
	}
}

// TestP10_IDsHaveOneForm: composed, without what nobody sees.
func TestP10_IDsHaveOneForm(t *testing.T) {
	for given, want := range map[string]string{" u1\t": "u1", "caf\u00e9": "caf\u00e9", "cafe\u0301": "caf\u00e9", "u\u200b1": "u1", "\ufeffu1": "u1", "\u202au1\u202c": "u1", "U1": "U1", "\u00a0u1": "u1"} {
		if got := foreign.ID(given); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}

// TestP6_ObjectsOfPHP: an array without members is a list to PHP.
func TestP6_ObjectsOfPHP(t *testing.T) {
	for raw, noted := range map[string]bool{`{}`: false, `[]`: false, `[ ]`: false, `null`: false, ``: false, `[1]`: true, `[[]]`: true, `"x"`: true, `7`: true, `true`: true} {
		notes := &foreign.Notes{}
		o := foreign.In(json.RawMessage(raw), "traits", notes)
		if o.Rest() != nil || (notes.List() != nil) != noted {
			t.Errorf("%s: %s, %q", raw, o.Rest(), notes.List())
		}
	}
}

// TestMembersByAnyName: names are compared without case and separators; the name as asked for comes first.
func TestMembersByAnyName(t *testing.T) {
	for raw, want := range map[string]string{
		`{"order_id":"a"}`: "a", `{"orderId":"a"}`: "a", `{"OrderID":"a"}`: "a", `{"Order Id":"a"}`: "a", `{"orderId":"b","order_id":"a"}`: "a", `{"order_id":null,"orderId":"a"}`: "", `{"order":"a"}`: "",
	} {
		o, _ := object(raw)
		if got := o.ID(128, "order_id"); got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
	o, _ := object(`{"orderId":"a","Name":"b","x":1}`)
	if got := string(o.Rest("order_id", "name")); got != `{"x":1}` {
		t.Errorf("the rest is %s", got)
	}
	if got := o.Others("order_id", "name"); !slices.Equal(got, []string{"x"}) {
		t.Errorf("the others are %q", got)
	}
	over, _ := object(`{"first_name":"A","plan":null}`)
	under, _ := object(`{"firstName":"B","plan":"gold","city":"Van"}`)
	if got := string(over.Over(under).Rest()); got != `{"city":"Van","first_name":"A","plan":null}` {
		t.Errorf("one over the other is %s", got)
	}
}

func TestLists(t *testing.T) {
	o, notes := object(`{"ids":["p1",2,"",null,true,"` + strings.Repeat("x", 9) + `","p3","p4"],"one":"p1","products":[{"a":1},7,null,{"b":2}],"single":{"a":1},"not":"x"}`)
	if got := o.IDs(3, 8, "ids"); !slices.Equal(got, []string{"p1", "2", "p3"}) {
		t.Errorf("ids: %q", got)
	}
	if got := o.IDs(3, 8, "one"); !slices.Equal(got, []string{"p1"}) {
		t.Errorf("one id: %q", got)
	}
	for name, want := range map[string]struct {
		n    int
		told foreign.Told
	}{"products": {2, foreign.Unread}, "single": {1, foreign.Read}, "not": {0, foreign.Unread}, "none": {0, foreign.Absent}} {
		if objects, told := o.Objects(name); len(objects) != want.n || told != want.told {
			t.Errorf("%s: %d objects, %v", name, len(objects), told)
		}
	}
	want := []string{"ids:wrong-type", "ids:too-long", "ids:cut", "not:wrong-type", "products:wrong-type"}
	if got := notes.List(); !slices.Equal(got[:3], want[:3]) || !slices.Equal(slices.Sorted(slices.Values(got[3:])), want[3:]) {
		t.Errorf("notes: %q, want %q", notes.List(), want)
	}
}

func TestWholeNumbersAndAnswers(t *testing.T) {
	o, notes := object(`{"a":"4.000","b":4.5,"c":99999999999999999999,"yes":"1","no":false,"maybe":"perhaps","nothing":null}`)
	if n, told := o.Whole("a"); n != 4 || told != foreign.Read {
		t.Errorf("a is %d, %v", n, told)
	}
	for _, name := range []string{"b", "c"} {
		if _, told := o.Whole(name); told != foreign.Unread {
			t.Errorf("%s is read", name)
		}
	}
	yes, _ := o.Bool("yes")
	no, told := o.Bool("no")
	if _, maybe := o.Bool("maybe"); !yes || no || told != foreign.Read || maybe != foreign.Unread {
		t.Errorf("answers: %v, %v, %v", yes, no, maybe)
	}
	if _, told := o.Bool("nothing"); told != foreign.Absent || !o.Null("nothing") || o.Null("yes") || o.Null("never") || o.Null("nothing", "yes") {
		t.Error("what is nothing is something")
	}
	if want := []string{"b:unreadable", "c:out-of-range", "maybe:unreadable"}; !slices.Equal(notes.List(), want) {
		t.Errorf("notes: %q, want %q", notes.List(), want)
	}
}

func TestNotesAreBounded(t *testing.T) {
	var notes foreign.Notes
	for i := range 40 {
		notes.Add(string(rune('a'+i%20)), foreign.Unreadable)
	}
	if got := notes.List(); len(got) != eventstore.MaxNotes || got[0] != "a:unreadable" {
		t.Errorf("%d notes, the first %q", len(got), got[0])
	}
	var more foreign.Notes
	more.All([]string{"a:unreadable", "b:cut"})
	if got := more.List(); !slices.Equal(got, []string{"a:unreadable", "b:cut"}) || foreign.Reason(got[1]) != foreign.Cut {
		t.Errorf("notes: %q", got)
	}
}

// TestP6_HalfAnEmoji becomes U+FFFD, and the rest stays to the byte.
func TestP6_HalfAnEmoji(t *testing.T) {
	for given, want := range map[string]string{
		`{"a":"x"}`: `{"a":"x"}`, `"\ud83d\ude00 \u00fc \\ud83d \n"`: `"\ud83d\ude00 \u00fc \\ud83d \n"`, `"\ud83d"`: `"\ufffd"`, `"\ud83dx\ude00"`: `"\ufffdx\ufffd"`,
		`"\ud83d\ud83d\ude00"`: `"\ufffd\ud83d\ude00"`, `"\u0000a"`: `"\ufffda"`, `"\ud83d\u00fc"`: `"\ufffd\u00fc"`,
	} {
		clean, replaced, err := foreign.Clean([]byte(given))
		if err != nil || string(clean) != want || replaced != (given != want) {
			t.Errorf("%s: %s, %v, %v; want %s", given, clean, replaced, err, want)
		}
		if err := foreign.Check([]byte(given)); (err == nil) != (given == want) {
			t.Errorf("%s: %v", given, err)
		}
	}
	if _, _, err := foreign.Clean([]byte("\"\xfc\"")); err == nil || foreign.Check([]byte("\"\xfc\"")) == nil {
		t.Error("bytes that are no UTF-8 are text")
	}
}

func TestP14_WholeSecondsReachToTheirEnd(t *testing.T) {
	at := time.UnixMilli(7_000)
	if got := foreign.Reach(at); got.UnixMilli() != 7_999 {
		t.Errorf("a whole second reaches to %v", got)
	}
	if exact := at.Add(time.Millisecond); !foreign.Reach(exact).Equal(exact) {
		t.Error("a time of more digits reaches beyond itself")
	}
}

// FuzzReading: nothing that anybody writes makes the readers fail, and what is read is what it says.
func FuzzReading(f *testing.F) {
	for _, seed := range []string{`"12,50"`, `"2024-02-29T08:00:00.5:Z"`, `978`, `"\ud83d"`, `[{}]`, `"1,234,567.89"`, `1e30`, `"Thu Feb 29 2024 08:00:00 GMT+0300"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		raw := []byte(`{"a":` + value + `}`)
		clean, _, err := foreign.Clean(raw)
		if err != nil || !json.Valid(raw) {
			return
		}
		if !json.Valid(clean) || foreign.Check(clean) != nil {
			t.Fatalf("%s is cleaned to %s", raw, clean)
		}
		o, _ := object(string(clean))
		if number, told := o.Decimal("a"); told == foreign.Read && !json.Valid([]byte(number)) {
			t.Errorf("%s is the number %q", value, number)
		}
		if code, told := o.Currency("a"); told == foreign.Read && len(code) != 3 {
			t.Errorf("%s is the currency %q", value, code)
		}
		if text := o.Text(10, "a"); len(text) > 10 {
			t.Errorf("%s is the text %q", value, text)
		}
		foreign.Time(foreign.Scalar(clean[5 : len(clean)-1]))
		o.Date("a")
		o.Bool("a")
		o.Objects("a")
		o.IDs(3, 10, "a")
		o.Object("a").Rest("b")
	})
}

// TestP5_AMidnightElsewhere: a browser's Date of a local midnight is no day that anybody can tell, and none is guessed.
func TestP5_AMidnightElsewhere(t *testing.T) {
	for text, want := range map[string]string{
		`"1990-05-04"`: "1990-05-04", `"1990-05-04T00:00:00Z"`: "1990-05-04", `"1990-05-04T12:00:00.000Z"`: "1990-05-04", `"1990-05-04T00:00:00+03:00"`: "1990-05-04",
		`"1990-05-04 08:30:00"`: "1990-05-04", `"1990-05-03T21:00:00.000Z"`: "", `"1990-05-03T22:00:00Z"`: "", `"1990-05-04T05:00:00Z"`: "",
	} {
		var notes foreign.Notes
		got, _ := foreign.In([]byte(`{"birthday":`+text+`}`), "", &notes).Date("birthday")
		if got != want || (want == "") != slices.Equal(notes.List(), []string{"birthday:ambiguous"}) {
			t.Errorf("%s is %q, %q", text, got, notes.List())
		}
	}
}
