package app

import (
	"cmp"
	"context"
	"log/slog"
	"strconv"

	"defter/pkg/fault"
	"defter/pkg/foreign"
	"defter/pkg/ingest"
)

// maxTokens is how many different tokens of one request are looked at: each costs as much as several messages.
const maxTokens = 10

// owners tell which messages of a request the customer proved to have sent: those about the subject of a token that came along, in
// the message's context or in the header.
type owners struct {
	tokens   Tokens
	header   string
	subjects map[string]subject // by token, the zero one for one that proves nothing
}

type subject struct{ id, email string }

// says tells whether a message is the word of the customer whom it names, and the address that the token's issuer has verified. Busy where
// nobody can say now: the client tries again.
func (o *owners) says(ctx context.Context, m ingest.Message) (own bool, email string, err error) {
	token := cmp.Or(m.Context.UserToken, o.header)
	if o.tokens == nil || token == "" || m.UserID == "" {
		return false, "", nil
	}
	s, known := o.subjects[token]
	if !known {
		if len(o.subjects) == maxTokens {
			slog.WarnContext(ctx, "user token not looked at", "reason", "a request has more than "+strconv.Itoa(maxTokens))
			return false, "", nil
		}
		if s.id, s.email, err = o.tokens.Subject(ctx, token); err != nil {
			if fault.KindOf(err) != fault.Unauthorized {
				return false, "", err
			}
			slog.InfoContext(ctx, "user token proves nothing", "error", err) // the library's words, without the token
		}
		if o.subjects == nil {
			o.subjects = map[string]subject{}
		}
		o.subjects[token] = s
	}
	return s.id != "" && foreign.ID(s.id) == m.UserID, s.email, nil
}
