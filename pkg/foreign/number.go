package foreign

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// Limits of a number's form, so that a few bytes cannot stand for a million digits.
const (
	maxDigits   = 40
	maxExponent = 30
)

// Decimal reads a number that is written as a text, and returns it in JSON's own form. These forms have one meaning, whatever the
// country:
//
//   - "4", "-4.000", ".5", "1e3": a point is the decimal mark, as in JSON
//   - "12,50", "0,125": a comma is the decimal mark, unless three digits follow one to three others
//   - "1,234.50", "1.234,50", "1 234,50", "1'234.50": of two marks the last is the decimal one, and the others stand between thousands
//   - "1,234,567", "1.234.567", "1 234": a mark that stands there more than once, or a space, stands between thousands
//
// "1,234" may be either, and is Ambiguous. Digits of full width are digits, and U+2212 is a minus.
func Decimal(text string) (number, reason string) {
	text = strings.TrimSpace(norm.NFKC.String(text))
	text = strings.NewReplacer("\u2212", "-", "\u2019", "'").Replace(text)
	sign := ""
	if rest, ok := strings.CutPrefix(text, "-"); ok {
		sign, text = "-", rest
	} else {
		text = strings.TrimPrefix(text, "+")
	}
	if number, reason = unsigned(text); number == "0" || number == "" {
		return number, reason
	}
	return sign + number, ""
}

// unsigned is Decimal of a number without its sign.
func unsigned(text string) (number, reason string) {
	if whole, fraction, exponent, ok := plain(text); ok {
		return canonical(whole, fraction, exponent), ""
	}
	if len(text) > maxDigits+maxDigits/3 { // with the marks between thousands
		return "", Unreadable
	}
	point := strings.LastIndexAny(text, ".,")
	if point >= 0 && (strings.Count(text, text[point:point+1]) > 1 || !isDigits(text[point+1:])) {
		point = -1 // it stands between thousands
	}
	whole, fraction := text, ""
	if point >= 0 {
		whole, fraction = text[:point], text[point+1:]
	}
	if isDigits(whole) && len(whole)+len(fraction) <= maxDigits { // one comma, since a single point is plain
		if len(fraction) == 3 && len(whole) <= 3 && whole[0] != '0' {
			return "", Ambiguous
		}
		return canonical(whole, fraction, 0), ""
	}
	digits, ok := ungrouped(whole)
	if !ok || len(digits)+len(fraction) > maxDigits {
		return "", Unreadable
	}
	return canonical(digits, fraction, 0), ""
}

// plain takes a number in JSON's form apart, where leading zeros, and nothing on one side of the point, are also known.
func plain(text string) (whole, fraction string, exponent int, ok bool) {
	mantissa, power, scientific := strings.Cut(strings.ToLower(text), "e")
	if scientific {
		n, err := strconv.Atoi(power)
		if err != nil || n < -maxExponent || n > maxExponent {
			return "", "", 0, false
		}
		exponent = n
	}
	whole, fraction, _ = strings.Cut(mantissa, ".")
	digits := whole + fraction
	return whole, fraction, exponent, digits != "" && len(digits) <= maxDigits && isDigits(digits)
}

// canonical writes a number without an exponent, without leading zeros, and without a fraction that says nothing.
func canonical(whole, fraction string, exponent int) string {
	for ; exponent > 0; exponent-- {
		digit := "0"
		if fraction != "" {
			digit, fraction = fraction[:1], fraction[1:]
		}
		whole += digit
	}
	for ; exponent < 0; exponent++ {
		if whole == "" {
			whole = "0"
		}
		whole, fraction = whole[:len(whole)-1], whole[len(whole)-1:]+fraction
	}
	whole, fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	if whole == "" {
		whole = "0"
	}
	if fraction == "" {
		return whole
	}
	return whole + "." + fraction
}

// ungrouped are the digits of a number whose thousands are told apart, all by the same mark.
func ungrouped(text string) (digits string, ok bool) {
	at := strings.IndexAny(text, " '.,")
	if at < 1 || at > 3 || text[0] == '0' {
		return "", false
	}
	for i, group := range strings.Split(text, text[at:at+1]) {
		if !isDigits(group) || i > 0 && len(group) != 3 {
			return "", false
		}
		digits += group
	}
	return digits, true
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// decimalOf reads a number, or a text of one.
func decimalOf(raw json.RawMessage) (number, reason string) {
	switch c := kind(raw); {
	case c == '"':
		var text string
		if json.Unmarshal(raw, &text) != nil {
			return "", Unreadable
		}
		return Decimal(text)
	case c == '-' || c >= '0' && c <= '9':
		return Decimal(string(raw))
	}
	return "", WrongType
}

// wholeOf is a number that Decimal returned as an int64.
func wholeOf(number string) (n int64, reason string) {
	if strings.Contains(number, ".") {
		return 0, Unreadable
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return 0, OutOfRange
	}
	return n, ""
}

// Float is a number that Decimal returned, for what is a measurement and no amount.
func Float(number string) float64 {
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return math.NaN()
	}
	return f
}

// Bool reads a yes or no: true, "true", "1" or "yes", and their opposites, in any case.
func Bool(raw json.RawMessage) (value bool, reason string) {
	var text string
	if kind(raw) != '"' || json.Unmarshal(raw, &text) != nil {
		text = strings.TrimSpace(string(raw))
	}
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true", "1", "yes":
		return true, ""
	case "false", "0", "no":
		return false, ""
	}
	return false, Unreadable
}
