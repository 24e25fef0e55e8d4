package stripe_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"defter/pkg/payment"
	"defter/pkg/payment/stripe"
)

// answers serves Stripe's side: each request is answered by the function, which sees its form and its headers.
func answers(t *testing.T, answer func(r *http.Request, form url.Values) (status int, body string)) stripe.Provider {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		status, body := answer(r, r.PostForm)
		if status == 0 { // the line is cut
			connection, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_ = connection.Close()
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	return stripe.New("sk_test_123", server.URL)
}

var charge = payment.Charge{
	Key: "o1/1", OrderID: "o1", PaymentID: "p1", AmountMinor: 5500, Currency: "TRY", Method: "credit-card", Token: "pm_card_visa", Attempt: 1,
}

func TestCharge(t *testing.T) {
	p := answers(t, func(r *http.Request, form url.Values) (int, string) {
		for name, want := range map[string]string{
			"amount": "5500", "currency": "try", "payment_method": "pm_card_visa", "confirm": "true", "off_session": "true", "error_on_requires_action": "true",
			"payment_method_types[0]": "card", "metadata[order_id]": "o1", "metadata[payment_id]": "p1",
		} {
			if form.Get(name) != want {
				t.Errorf("%s is %q, want %q", name, form.Get(name), want)
			}
		}
		if r.URL.Path != "/v1/payment_intents" || r.Header.Get("Idempotency-Key") != "o1/1" || r.Header.Get("Authorization") != "Bearer sk_test_123" {
			t.Errorf("%s with %v", r.URL.Path, r.Header)
		}
		return 200, `{"id": "pi_1", "object": "payment_intent", "status": "succeeded"}`
	})
	if id, err := p.Charge(context.Background(), charge); id != "pi_1" || err != nil {
		t.Errorf("%q, %v", id, err)
	}
}

func TestRefund(t *testing.T) {
	p := answers(t, func(r *http.Request, form url.Values) (int, string) {
		if r.URL.Path != "/v1/refunds" || r.Header.Get("Idempotency-Key") != "o1/r1/0" || form.Get("payment_intent") != "pi_1" || form.Get("amount") != "2000" {
			t.Errorf("%s, key %s: %v", r.URL.Path, r.Header.Get("Idempotency-Key"), form)
		}
		return 200, `{"id": "re_1", "object": "refund", "status": "succeeded"}`
	})
	refund := payment.Refund{Key: "o1/r1/0", OrderID: "o1", RefundID: "r1", TransactionID: "pi_1", AmountMinor: 2000, Currency: "TRY"}
	if id, err := p.Refund(context.Background(), refund); id != "re_1" || err != nil {
		t.Errorf("%q, %v", id, err)
	}
}

// TestAnswers: a no is told from an answer that did not come, and one for the moment from one for good.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name      string
		status    int
		body      string
		code      string // "" for one that leaves open what happened
		retryable bool
	}{
		{"declined", 402, `{"error": {"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds", "message": "Your card has insufficient funds."}}`, "insufficient_funds", false},
		{"the bank wants to ask", 402, `{"error": {"type": "card_error", "code": "authentication_required", "decline_code": "authentication_required"}}`, "authentication_required", false},
		{"for the moment", 402, `{"error": {"type": "card_error", "code": "card_declined", "decline_code": "try_again_later"}}`, "SERVICE_UNAVAILABLE", true},
		{"too many", 429, `{"error": {"type": "invalid_request_error", "code": "rate_limit"}}`, "", false},
		{"no such card", 400, `{"error": {"type": "invalid_request_error", "code": "resource_missing", "message": "No such PaymentMethod: 'pm_x'"}}`, "resource_missing", false},
		{"our key is wrong", 401, `{"error": {"type": "invalid_request_error", "message": "Invalid API Key provided"}}`, "", false},
		{"asked at the same time", 409, `{"error": {"type": "idempotency_error", "code": "idempotency_key_in_use"}}`, "", false},
		{"they fail", 500, `{"error": {"type": "api_error"}}`, "", false},
		{"no JSON", 502, `Bad Gateway`, "", false},
		{"the line is cut", 0, ``, "", false},
		{"waits for somebody", 200, `{"id": "pi_1", "object": "payment_intent", "status": "requires_capture"}`, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			tries, keys := 0, map[string]bool{}
			p := answers(t, func(r *http.Request, _ url.Values) (int, string) {
				tries++
				keys[r.Header.Get("Idempotency-Key")] = true
				return c.status, c.body
			})
			_, err := p.Charge(context.Background(), charge)
			declined, no := errors.AsType[*payment.Declined](err)
			if err == nil || no != (c.code != "") || no && (declined.Code != c.code || declined.Retryable() != c.retryable) {
				t.Errorf("%v", err)
			}
			if tries > 2 || len(keys) != 1 {
				t.Errorf("asked %d times with %d keys", tries, len(keys))
			}
		})
	}
	other := charge
	other.Method = "paypal"
	_, err := answers(t, func(*http.Request, url.Values) (int, string) { t.Error("asked"); return 500, "" }).Charge(context.Background(), other)
	if declined, no := errors.AsType[*payment.Declined](err); !no || declined.Retryable() {
		t.Errorf("PayPal: %v", err)
	}
}

// TestP3_OnlyMoneyThatMovedCounts: a payment that was being processed is looked at again, since the answer to its key stays the same;
// a refund that is pending is on its way, and is asked for by its id from then on.
func TestP3_OnlyMoneyThatMovedCounts(t *testing.T) {
	for _, c := range []struct {
		status, code string
		done         bool
	}{{"succeeded", "", true}, {"processing", "", false}, {"requires_payment_method", "payment_requires_payment_method", false}, {"canceled", "payment_canceled", false}} {
		p := answers(t, func(r *http.Request, _ url.Values) (int, string) {
			if r.Method == "GET" && r.URL.Path == "/v1/payment_intents/pi_1" {
				return 200, `{"id": "pi_1", "object": "payment_intent", "status": "` + c.status + `"}`
			}
			return 200, `{"id": "pi_1", "object": "payment_intent", "status": "processing"}`
		})
		id, err := p.Charge(context.Background(), charge)
		declined, no := errors.AsType[*payment.Declined](err)
		if (err == nil) != c.done || c.done && id != "pi_1" || no != (c.code != "") || no && declined.Code != c.code {
			t.Errorf("a payment that is %s: %q, %v", c.status, id, err)
		}
	}
	refund := payment.Refund{Key: "o1/r1/0", OrderID: "o1", RefundID: "r1", TransactionID: "pi_1", AmountMinor: 2000, Currency: "TRY"}
	for _, c := range []struct {
		status, code  string
		done, pending bool
	}{{"succeeded", "", true, false}, {"pending", "", false, true}, {"requires_action", "", false, true}, {"failed", "refund_failed", false, false}, {"canceled", "refund_canceled", false, false}} {
		for _, id := range []string{"", "re_1"} {
			p := answers(t, func(r *http.Request, _ url.Values) (int, string) {
				if want := map[string]string{"": "POST /v1/refunds", "re_1": "GET /v1/refunds/re_1"}[id]; r.Method+" "+r.URL.Path != want {
					t.Errorf("asked %s %s, want %s", r.Method, r.URL.Path, want)
				}
				return 200, `{"id": "re_1", "object": "refund", "status": "` + c.status + `"}`
			})
			refund.PendingID = id
			got, err := p.Refund(context.Background(), refund)
			declined, no := errors.AsType[*payment.Declined](err)
			pending, waits := errors.AsType[*payment.Pending](err)
			if (err == nil) != c.done || c.done && got != "re_1" || no != (c.code != "") || no && declined.Code != c.code || waits != c.pending || waits && pending.TransactionID != "re_1" {
				t.Errorf("a refund that is %s: %q, %v", c.status, got, err)
			}
		}
	}
	refund.PendingID = "re_1"
	_, err := answers(t, func(*http.Request, url.Values) (int, string) {
		return 404, `{"error": {"type": "invalid_request_error", "code": "resource_missing"}}`
	}).Refund(context.Background(), refund)
	if _, no := errors.AsType[*payment.Declined](err); err == nil || no {
		t.Errorf("of a refund that Stripe does not know: %v", err)
	}
}

func TestAmount(t *testing.T) {
	for currency, want := range map[string]int64{"TRY": 1200, "JPY": 1200, "KWD": 1200, "ISK": 120000, "UGX": 120000, "MGA": 12} {
		if got, ok := stripe.Amount(1200, currency); got != want || !ok {
			t.Errorf("1200 %s is %d, want %d", currency, got, want)
		}
	}
	if _, ok := stripe.Amount(1250, "MGA"); ok {
		t.Error("Stripe knows no half an ariary")
	}
	broken := charge
	broken.Currency, broken.AmountMinor = "MGA", 1250
	_, err := answers(t, func(*http.Request, url.Values) (int, string) { t.Error("asked"); return 500, "" }).Charge(context.Background(), broken)
	if declined, no := errors.AsType[*payment.Declined](err); !no || declined.Retryable() {
		t.Errorf("half an ariary: %v", err)
	}
}
