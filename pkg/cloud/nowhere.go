package cloud

import (
	"context"

	"defter/pkg/app"
	"defter/pkg/fault"
)

// nowhere is the provider of functions that send no email.
type nowhere struct{}

func (nowhere) Send(context.Context, app.Mail) (string, error) {
	return "", fault.New(fault.Internal, "no-provider", "this function sends no email")
}

func (nowhere) Idempotent() bool { return false }

func (nowhere) Forget(context.Context, string) error { return nil }
