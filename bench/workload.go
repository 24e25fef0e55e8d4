package main

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"defter/localstack/embedded"
)

const (
	population = 10_000 // customers
	batchSize  = 10     // events in a batch, all of one customer
	skew       = 1.01   // Zipf's exponent, about 1: the busiest customer sends a tenth of all batches
)

var writeKey = "Basic " + base64.StdEncoding.EncodeToString([]byte(embedded.WriteKey+":"))

// visitors draws customers by Zipf's law, the same ones on every run.
type visitors struct{ zipf *rand.Zipf }

func newVisitors(seed uint64, customers int) visitors {
	return visitors{rand.NewZipf(rand.New(rand.NewPCG(seed, 1)), skew, 1, uint64(customers-1))}
}

func (v visitors) next() string { return customerName(int(v.zipf.Uint64())) }

func customerName(n int) string { return fmt.Sprintf("shopper-%05d", n) }

// appendBatch appends the body of a request with n events of one customer, numbered from first.
func appendBatch(b []byte, customer string, first, n int, at time.Time) []byte {
	b = append(b, `{"batch":[`...)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendMessage(b, customer, first+i, at, true)
	}
	b = append(b, `],"sentAt":"`...)
	b = at.UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, `"}`...)
}

// appendMessage appends one call of an SDK: a shop's mix of pages, products, carts and things of its own, which come to
// about 550 bytes each once they are stored.
func appendMessage(b []byte, customer string, n int, at time.Time, typed bool) []byte {
	product := strconv.Itoa(10_000 + n%5_000)
	b = append(b, `{"messageId":"`...)
	b = strconv.AppendInt(append(b, "ajs-next-6f1c2f2e8d3b4a59-"...), int64(n), 10)
	b = append(b, `","userId":"`...)
	b = append(b, customer...)
	b = append(b, `","anonymousId":"0f9a1c52-7d0e-4e0b-9b62-`...)
	b = append(b, customer...)
	b = append(b, `","timestamp":"`...)
	b = at.UTC().Add(-time.Duration(n%9_000)*time.Millisecond).AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","context":{"ip":"203.0.113.`...)
	b = strconv.AppendInt(b, int64(n%250), 10)
	b = append(b, `","userAgent":"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1","locale":"tr-TR","timezone":"Europe/Istanbul","page":{"url":"https://shop.example.com/products/`...)
	b = append(b, product...)
	b = append(b, `","title":"Product `...)
	b = append(b, product...)
	b = append(b, `","referrer":"https://shop.example.com/categories/outdoor"}},"properties":{`...)
	kind, event := "track", ""
	switch n % 10 {
	case 0, 1, 2, 3:
		kind = "page"
		b = append(b, `"path":"/products/`...)
		b = append(b, product...)
		b = append(b, `","search":"","session_id":"0f9a1c527d0e","variant":"control"`...)
	case 4, 5, 6:
		event = "Product Viewed"
		b = append(b, `"product_id":"`...)
		b = append(b, product...)
		b = append(b, `","name":"Trekking boots, waterproof","category":"outdoor","price":1299.90,"currency":"TRY","session_id":"0f9a1c527d0e"`...)
	case 7:
		event = "Product Added"
		b = append(b, `"cart_id":"cart-0f9a1c527d0e","product_id":"`...)
		b = append(b, product...)
		b = append(b, `","name":"Trekking boots, waterproof","quantity":1,"price":1299.90,"currency":"TRY"`...)
	default:
		event = "Size Guide Opened"
		b = append(b, `"product_id":"`...)
		b = append(b, product...)
		b = append(b, `","section":"boots","language":"tr","duration_ms":5310,"from":"product-page"`...)
	}
	b = append(b, '}')
	if event != "" {
		b = append(append(append(b, `,"event":"`...), event...), '"')
	}
	if typed { // the path says it otherwise
		b = append(append(append(b, `,"type":"`...), kind...), '"')
	}
	return append(b, '}')
}

// singleRoute is the path for a message sent by itself.
func singleRoute(n int) string {
	if n%10 < 4 {
		return "/v1/page"
	}
	return "/v1/track"
}
