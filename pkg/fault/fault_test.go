package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"defter/pkg/fault"
)

func TestRetryable(t *testing.T) {
	for kind, want := range map[fault.Kind]bool{
		fault.Invalid: false, fault.Unauthorized: false, fault.NotFound: false, fault.Rejected: false,
		fault.Conflict: true, fault.Busy: true, fault.Internal: true,
	} {
		err := fmt.Errorf("load the customer: %w", fault.New(kind, "some-slug", "%d things", 3))
		if fault.KindOf(err) != kind || fault.SlugOf(err) != "some-slug" || fault.Retryable(err) != want {
			t.Errorf("%v: %s, %s, retryable %v", err, fault.KindOf(err), fault.SlugOf(err), fault.Retryable(err))
		}
		if want := "load the customer: some-slug: 3 things"; err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
}

// TestErrorsOfNoKind: what nobody gave a kind is a defect of ours, and worth another try.
func TestErrorsOfNoKind(t *testing.T) {
	err := errors.New("connection refused")
	if fault.KindOf(err) != fault.Internal || fault.SlugOf(err) != "internal" || !fault.Retryable(err) {
		t.Errorf("%s, %s, retryable %v", fault.KindOf(err), fault.SlugOf(err), fault.Retryable(err))
	}
}

func TestBecause(t *testing.T) {
	cause := errors.New("connection refused")
	err := fault.Because(cause, fault.Busy, "not-ready", "try again")
	if !errors.Is(err, cause) || fault.KindOf(err) != fault.Busy {
		t.Errorf("%v: %s", err, fault.KindOf(err))
	}
	if want := "not-ready: try again: connection refused"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
	outer := fault.Because(err, fault.Rejected, "refused", "no")
	if fault.KindOf(outer) != fault.Rejected || fault.SlugOf(outer) != "refused" {
		t.Errorf("the outermost kind counts, not %s, %s", fault.KindOf(outer), fault.SlugOf(outer))
	}
}
