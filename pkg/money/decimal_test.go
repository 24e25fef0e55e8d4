package money_test

import (
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strings"
	"testing"

	"defter/pkg/money"

	"pgregory.net/rapid"
)

func TestMinor(t *testing.T) {
	for _, c := range []struct {
		decimal, currency string
		want              int64
	}{
		{"12.34", "TRY", 1234},
		{"12.3", "TRY", 1230},
		{"12", "TRY", 1200},
		{"12.", "TRY", 1200},
		{" 12.34 ", "TRY", 1234},
		{"0", "TRY", 0},
		{"-0.00", "TRY", 0},
		{"-12.34", "TRY", -1234},
		{"12.345", "TRY", 1235},
		{"12.344999", "TRY", 1234},
		{"-12.345", "TRY", -1235},
		{"0.005", "TRY", 1},
		{"0.0049", "TRY", 0},
		{"19.999999999999996", "USD", 2000},
		{"0.1e1", "USD", 100},
		{"1.5E+2", "USD", 15000},
		{"12345e-4", "USD", 123},
		{"5e-30", "USD", 0},
		{"9e15", "JPY", 9_000_000_000_000_000},
		{"1234.5", "JPY", 1235},
		{"1.2345", "KWD", 1235},
		{"1.23456", "CLF", 12346},
		{"12.34", "???", 1234},
		{"92233720368547757.99", "USD", 9223372036854775799},
	} {
		if got, err := money.Minor(c.decimal, c.currency); got != c.want || err != nil {
			t.Errorf("%s %s is %d, %v, want %d", c.decimal, c.currency, got, err, c.want)
		}
	}
	for _, wrong := range []string{
		"", " ", "-", ".5", "1.2.3", "1,2", "+1", "--1", "1e", "1e+", "1ee2", "0x10", "1_000", "NaN", "Infinity", "twelve", "1 2", "٣",
		"1e16", "1e-31", "1e99999999999999999999", "92233720368547758.08", "1" + strings.Repeat("0", 17), strings.Repeat("1", 41),
	} {
		if got, err := money.Minor(wrong, "USD"); err == nil {
			t.Errorf("%q is %d", wrong, got)
		}
	}
}

// exactly is what Minor must answer, by exact fractions: rounded half away from zero.
func exactly(decimal string, digits int64) (*big.Int, bool) {
	amount, ok := new(big.Rat).SetString(decimal)
	if !ok {
		return nil, false
	}
	amount.Mul(amount, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(digits), nil)))
	half := big.NewRat(1, 2)
	if amount.Sign() < 0 {
		half.Neg(half)
	}
	amount.Add(amount, half)
	return new(big.Int).Quo(amount.Num(), amount.Denom()), true // Quo cuts towards zero
}

var digitsOf = map[string]int64{"USD": 2, "JPY": 0, "KWD": 3, "CLF": 4, "XYZ": 2}

// TestMinorIsExact against exact fractions.
func TestMinorIsExact(t *testing.T) {
	out := 0
	rapid.Check(t, func(t *rapid.T) {
		decimal := rapid.StringMatching(`-?[0-9]{1,18}(\.[0-9]{0,20})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "decimal")
		currency := rapid.SampledFrom([]string{"USD", "JPY", "KWD", "CLF", "XYZ"}).Draw(t, "currency")
		want, ok := exactly(strings.Replace(decimal, ".e", "e", 1), digitsOf[currency])
		if !ok {
			t.Fatalf("%q is no fraction", decimal)
		}
		got, err := money.Minor(decimal, currency)
		if err != nil { // only what is out of range may be refused
			out++
			_, exponent, _ := strings.Cut(strings.ToLower(decimal), "e")
			var e int
			_, _ = fmt.Sscan(exponent, &e)
			if near := new(big.Int).Abs(want).Cmp(big.NewInt(math.MaxInt64 - 10)); near <= 0 && e >= -30 && e <= 15 {
				t.Fatalf("%s %s is %s, and is refused: %v", decimal, currency, want, err)
			}
			return
		}
		if want.Cmp(big.NewInt(got)) != 0 {
			t.Fatalf("%s %s is %d, want %s", decimal, currency, got, want)
		}
	})
	if out == 0 {
		t.Error("nothing was out of range: the test tries too little")
	}
}

var number = regexp.MustCompile(`^-?[0-9]+\.?[0-9]*(e[+-]?[0-9]+)?$`)

// FuzzMinor: what is taken for an amount is one, and is that amount.
func FuzzMinor(f *testing.F) {
	for _, seed := range []string{"12.34", "-0.005", "1e15", "1e-30", "19.999999999999996", "", ".", "-", "9223372036854775807", "0e0", "1.e5"} {
		for currency := range digitsOf {
			f.Add(seed, currency)
		}
	}
	f.Fuzz(func(t *testing.T, decimal, currency string) {
		got, err := money.Minor(decimal, currency)
		if err != nil {
			return
		}
		plain := strings.ToLower(strings.TrimSpace(decimal))
		if !number.MatchString(plain) {
			t.Fatalf("%q is %d", decimal, got)
		}
		digits, known := digitsOf[currency]
		want, ok := exactly(strings.Replace(plain, ".e", "e", 1), digits)
		if known && (!ok || want.Cmp(big.NewInt(got)) != 0) {
			t.Fatalf("%q %s is %d, want %s", decimal, currency, got, want)
		}
	})
}
