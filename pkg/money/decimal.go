package money

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// minorDigits are the decimal digits of the currencies that do not have two (ISO 4217).
var minorDigits = map[string]int{
	"CLF": 4, "UYW": 4,
	"BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3,
	"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0, "UGX": 0,
	"UYI": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
}

// Minor converts a decimal amount, as it is written in JSON, to minor units of the currency. Digits beyond the minor
// unit round half away from zero, so that 19.999999999999996 of a floating-point client is 20.00. Exponents up to 15
// are understood.
func Minor(decimal, currency string) (int64, error) {
	digits, ok := minorDigits[currency]
	if !ok {
		digits = 2
	}
	mantissa, exponent, scientific := strings.Cut(strings.ToLower(strings.TrimSpace(decimal)), "e")
	shift := digits
	if scientific {
		e, err := strconv.Atoi(exponent)
		if err != nil || e < -30 || e > 15 {
			return 0, fmt.Errorf("amount %q is out of range", decimal)
		}
		shift += e
	}
	negative := strings.HasPrefix(mantissa, "-")
	mantissa = strings.TrimPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	if whole == "" || len(whole)+len(fraction) > 40 || strings.Trim(whole+fraction, "0123456789") != "" {
		return 0, fmt.Errorf("amount %q is not a decimal number", decimal)
	}
	all := whole + fraction
	point := len(whole) + shift // digits before it are kept
	for len(all) < point {
		all += "0"
	}
	if point < 0 {
		return 0, nil
	}
	var n uint64
	for _, d := range all[:point] {
		if n > (math.MaxInt64-9)/10 {
			return 0, fmt.Errorf("amount %q is out of range", decimal)
		}
		n = n*10 + uint64(d-'0')
	}
	if point < len(all) && all[point] >= '5' {
		n++
	}
	if negative {
		return -int64(n), nil
	}
	return int64(n), nil
}

// Major writes an amount in minor units as a decimal number of the currency.
func Major(amount int64, currency string) string {
	digits, ok := minorDigits[currency]
	if !ok {
		digits = 2
	}
	return Decimal(amount, digits)
}

// Decimal writes an amount that is counted in units of so many decimal digits.
func Decimal(amount int64, digits int) string {
	sign, n := "", strconv.FormatUint(uint64(amount), 10)
	if amount < 0 {
		sign, n = "-", strconv.FormatUint(-uint64(amount), 10)
	}
	for len(n) <= digits {
		n = "0" + n
	}
	if digits == 0 {
		return sign + n
	}
	return sign + n[:len(n)-digits] + "." + n[len(n)-digits:]
}
