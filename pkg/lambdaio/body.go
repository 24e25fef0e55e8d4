package lambdaio

import (
	"bytes"
	"encoding/base64"
	"encoding/json"

	"defter/pkg/fault"
)

// withoutBody takes the body's value, as it stands, out of API Gateway's event. Decoding it would cost more than everything
// else that a stranger's request needs; so it is found, and left for whoever learns that the caller is none.
func withoutBody(payload []byte) (head, body []byte) {
	depth := 0
	for i := 0; i < len(payload); i++ {
		switch payload[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			end := textEnd(payload, i)
			if name := payload[i:end]; depth == 1 && string(name) == `"body"` {
				if from := valueStart(payload, end); from < len(payload) && payload[from] == '"' {
					to := textEnd(payload, from)
					return bytes.Join([][]byte{payload[:from], payload[to:]}, []byte("null")), payload[from:to]
				}
			}
			i = end - 1
		}
	}
	return payload, nil
}

// textEnd is the index behind the JSON string that begins at from, the payload's end if it does not end.
func textEnd(payload []byte, from int) int {
	for i := from + 1; i < len(payload); i++ {
		switch payload[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(payload)
}

// valueStart is the index of the value behind a member's name; the payload's end if the text was no name.
func valueStart(payload []byte, from int) int {
	colon := false
	for i := from; i < len(payload); i++ {
		switch c := payload[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
		case c == ':' && !colon:
			colon = true
		case colon:
			return i
		default:
			return len(payload)
		}
	}
	return len(payload)
}

// bodyOf decodes a body from its JSON string, base64 or text, if it has no more bytes than the limit.
func bodyOf(text []byte, inBase64 bool, limit int) ([]byte, error) {
	if len(text) == 0 {
		return nil, nil
	}
	most := 6*limit + 2 // each byte of a text may be written as \u00XX
	if inBase64 {
		most = base64.StdEncoding.EncodedLen(limit) + 2
	}
	if len(text) > most {
		return nil, TooLarge(limit)
	}
	if inBase64 && bytes.IndexByte(text, '\\') < 0 { // as it always is: nothing to decode but the base64
		if len(text) < 2 {
			return nil, fault.New(fault.Invalid, "invalid-body", "the body is not valid base64")
		}
		return decoded(text[1:len(text)-1], limit)
	}
	var body string
	if err := json.Unmarshal(text, &body); err != nil {
		return nil, fault.New(fault.Invalid, "invalid-body", "the body is no text")
	}
	if inBase64 {
		return decoded([]byte(body), limit)
	}
	if len(body) > limit {
		return nil, TooLarge(limit)
	}
	return []byte(body), nil
}

func decoded(text []byte, limit int) ([]byte, error) {
	body := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(body, text)
	if err != nil {
		return nil, fault.New(fault.Invalid, "invalid-body", "the body is not valid base64")
	}
	if n > limit {
		return nil, TooLarge(limit)
	}
	return body[:n], nil
}
