package foreign

import (
	"encoding/json"
	"strings"
	"sync"

	"golang.org/x/text/unicode/norm"
)

// names of currencies that are no ISO 4217 code, and stand for one currency alone. Those of several are not here: $ and ¥ and £ and kr
// are written in many countries.
var currencyNames = map[string]string{
	"TL": "TRY", "₺": "TRY", "YTL": "TRY", // the new lira of 2005 lost its "new" in 2009
	"TRL": "TRY", // the lira until 2005, of which a million made one; whoever writes it today means today's, as the shops of 2026 do not price in millions
	"€":   "EUR", "EURO": "EUR", "EUROS": "EUR",
	"₽": "RUB", "RUR": "RUB", // the rouble until 1998
	"₴": "UAH", "₹": "INR", "₪": "ILS", "NIS": "ILS", "₫": "VND", "₦": "NGN", "₱": "PHP", "₲": "PYG", "₸": "KZT", "₾": "GEL", "₼": "AZN",
	"₮": "MNT", "₭": "LAK", "៛": "KHR", "฿": "THB", "₵": "GHS", "ZŁ": "PLN", "KČ": "CZK", "FT": "HUF",
	"US$": "USD", "R$": "BRL", "NT$": "TWD", "HK$": "HKD", "NZ$": "NZD", "S$": "SGD",
	"RMB": "CNY", "STG": "GBP", "UKP": "GBP",
}

// currencyNumbers are the numeric codes of ISO 4217, each before its letters. 532 is not here: it was the guilder of the Antilles
// until 2025, and is that of Curaçao since.
const currencyNumbers = `
008ALL 012DZD 032ARS 036AUD 044BSD 048BHD 050BDT 051AMD 052BBD 060BMD 064BTN 068BOB 072BWP 084BZD 090SBD 096BND 104MMK 108BIF
116KHR 124CAD 132CVE 136KYD 144LKR 152CLP 156CNY 170COP 174KMF 188CRC 192CUP 203CZK 208DKK 214DOP 222SVC 230ETB 232ERN 238FKP
242FJD 262DJF 270GMD 292GIP 320GTQ 324GNF 328GYD 332HTG 340HNL 344HKD 348HUF 352ISK 356INR 360IDR 364IRR 368IQD 376ILS 388JMD
392JPY 398KZT 400JOD 404KES 408KPW 410KRW 414KWD 417KGS 418LAK 422LBP 426LSL 430LRD 434LYD 446MOP 454MWK 458MYR 462MVR 480MUR
484MXN 496MNT 498MDL 504MAD 512OMR 516NAD 524NPR 533AWG 548VUV 554NZD 558NIO 566NGN 578NOK 586PKR 590PAB 598PGK 600PYG 604PEN
608PHP 634QAR 643RUB 646RWF 654SHP 682SAR 690SCR 694SLL 702SGD 704VND 706SOS 710ZAR 728SSP 748SZL 752SEK 756CHF 760SYP 764THB
776TOP 780TTD 784AED 788TND 800UGX 807MKD 818EGP 826GBP 834TZS 840USD 858UYU 860UZS 882WST 886YER 901TWD 924ZWG 925SLE 926VED
927UYW 928VES 929MRU 930STN 933BYN 934TMT 936GHS 938SDG 940UYI 941RSD 943MZN 944AZN 946RON 949TRY 950XAF 951XCD 952XOF 953XPF
967ZMW 968SRD 969MGA 971AFN 972TJS 973AOA 975BGN 976CDF 977BAM 978EUR 980UAH 981GEL 985PLN 986BRL 990CLF`

var currencyByNumber = sync.OnceValue(func() map[string]string {
	codes := map[string]string{}
	for _, both := range strings.Fields(currencyNumbers) {
		codes[both[:3]] = both[3:]
	}
	return codes
})

// Currency reads a currency and returns its ISO 4217 code: three letters in any case, its number, its sign or another name where
// they are of one currency alone. Three letters are taken at their word, also where they are no code yet: ISO gives out new ones.
func Currency(text string) (code, reason string) {
	text = strings.ToUpper(strings.Trim(norm.NFC.String(Visible(norm.NFKC.String(text))), " .\t\r\n"))
	if code, ok := currencyNames[text]; ok {
		return code, ""
	}
	if isDigits(text) && len(text) <= 3 {
		if code, ok := currencyByNumber()[strings.Repeat("0", 3-len(text))+text]; ok {
			return code, ""
		}
	}
	if len(text) == 3 && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
		return text, ""
	}
	return "", Unreadable
}

func currencyOf(raw json.RawMessage) (code, reason string) {
	text, reason := textOf(raw)
	if reason != "" {
		return "", reason
	}
	return Currency(text)
}
