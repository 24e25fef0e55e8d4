// Package fault names the seven kinds of errors. Each edge maps a kind once: to an HTTP status, to "retry or park" for
// a consumer, to an error name for Step Functions. Code that is not an edge only wraps and returns.
package fault

import (
	"errors"
	"fmt"
)

// Kind is what kind of error it is, and so who can mend it.
type Kind string

const (
	Invalid      Kind = "Invalid"      // the request is malformed: 400
	Unauthorized Kind = "Unauthorized" // nobody known, or not allowed: 401 or 403
	NotFound     Kind = "NotFound"     // no such thing: 404
	Conflict     Kind = "Conflict"     // somebody else was first: 409
	Rejected     Kind = "Rejected"     // a business rule says no, named by the slug: 422
	Busy         Kind = "Busy"         // try again later: 503 with Retry-After
	Internal     Kind = "Internal"     // our defect: 500
)

// Error is an error of a kind. Slug is stable and machine readable; Detail is for people and holds nothing personal.
type Error struct {
	Kind   Kind
	Slug   string
	Detail string
	cause  error
}

// New makes an error of a kind.
func New(kind Kind, slug, format string, args ...any) *Error {
	return &Error{Kind: kind, Slug: slug, Detail: fmt.Sprintf(format, args...)}
}

// Because is New with a cause that errors.Is and errors.As can find.
func Because(cause error, kind Kind, slug, format string, args ...any) *Error {
	e := New(kind, slug, format, args...)
	e.cause = cause
	return e
}

func (e *Error) Error() string {
	if e.cause != nil {
		return e.Slug + ": " + e.Detail + ": " + e.cause.Error()
	}
	return e.Slug + ": " + e.Detail
}

func (e *Error) Unwrap() error { return e.cause }

// KindOf returns the kind of err: Internal for an error nobody gave a kind.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// SlugOf returns the slug of err, "internal" for an error nobody gave a kind.
func SlugOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Slug
	}
	return "internal"
}

// Retryable says whether a consumer should try again; everything else is parked with its reason.
func Retryable(err error) bool {
	switch KindOf(err) {
	case Busy, Internal, Conflict:
		return true
	}
	return false
}
