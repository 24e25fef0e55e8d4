package foreign

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// ErrNotUTF8: which characters the bytes stand for is not known.
var ErrNotUTF8 = errors.New("the text is not UTF-8")

// ID is the one form in which ids are compared: in Unicode's composed form (NFC), since keyboards and file systems write é in two
// ways; without spaces around it; without characters that nobody sees, which come along when it is copied from a page.
func ID(text string) string {
	for i := 0; i < len(text); i++ {
		if text[i] >= utf8.RuneSelf {
			return strings.TrimSpace(norm.NFC.String(Visible(text)))
		}
	}
	return strings.TrimSpace(text)
}

// Visible is a text without its format characters (Unicode's category Cf): zero-width spaces and joiners, soft hyphens, marks of
// the writing direction. The order of what is left stays.
func Visible(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, text)
}

// textOf is a text, or the digits of a number: 7, 7.0 and 7e0 are the same number.
func textOf(raw json.RawMessage) (text, reason string) {
	switch c := kind(raw); {
	case absent(raw):
		return "", ""
	case c == '"':
		if json.Unmarshal(raw, &text) != nil {
			return "", Unreadable
		}
		return norm.NFC.String(text), ""
	case c == '-' || c >= '0' && c <= '9':
		if number, reason := Decimal(string(raw)); reason == "" {
			return number, ""
		}
		return strings.TrimSpace(string(raw)), "" // of more digits than are counted with
	}
	return "", WrongType
}

// Scalar is a JSON text or number as a text, "" for anything else.
func Scalar(raw json.RawMessage) string {
	text, _ := textOf(raw)
	return text
}

// JSON is what programs write that take more for JSON than it is: without the byte order mark before it, which parsers may ignore (RFC 8259,
// section 8.1), and with the words that Python and Java write for what is no number as texts, so that one of them does not cost all of a batch.
func JSON(data []byte) []byte {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !bytes.Contains(data, []byte("NaN")) && !bytes.Contains(data, []byte("Infinity")) {
		return data
	}
	var strict []byte
	for at, text := 0, false; at < len(data); {
		size := 1
		if word := notANumber(data[at:]); word != "" && !text {
			strict, size = append(strict, '"'), len(word)
			strict = append(append(strict, word...), '"')
			at += size
			continue
		}
		switch data[at] {
		case '"':
			text = !text
		case '\\':
			size = min(2, len(data)-at)
		}
		strict = append(strict, data[at:at+size]...)
		at += size
	}
	return strict
}

func notANumber(data []byte) string {
	for _, word := range []string{"NaN", "Infinity", "-Infinity"} {
		if bytes.HasPrefix(data, []byte(word)) {
			return word
		}
	}
	return ""
}

// Clean makes JSON's text such that it can be stored and read again: half a surrogate pair, which is half an emoji that somebody cut,
// and NUL become U+FFFD. Bytes that are no UTF-8 are ErrNotUTF8.
func Clean(data []byte) (clean []byte, replaced bool, err error) {
	if !utf8.Valid(data) {
		return nil, false, ErrNotUTF8
	}
	clean = data
	for at := 0; ; {
		next := bytes.IndexByte(clean[at:], '\\')
		if next < 0 || at+next+1 >= len(clean) {
			return clean, replaced, nil
		}
		at += next
		if clean[at+1] != 'u' {
			at += 2
			continue
		}
		size, whole := escaped(clean[at:])
		if !whole {
			if !replaced {
				clean, replaced = bytes.Clone(data), true
			}
			copy(clean[at:], `\ufffd`)
		}
		at += size
	}
}

// Check refuses JSON whose text Clean would have to change.
func Check(data []byte) error {
	_, replaced, err := Clean(data)
	if replaced {
		err = errors.New("the text has a NUL character, or half a surrogate pair")
	}
	return err
}

// escaped is how long the escape at the beginning of data is, and whether it stands for a character.
func escaped(data []byte) (size int, whole bool) {
	const one, pair = len(`\ufffd`), len(`\ud83d\ude00`)
	switch unit := hex4(data[2:]); {
	case unit < 0: // no JSON
		return min(one, len(data)), true
	case unit == 0 || unit >= 0xDC00 && unit <= 0xDFFF:
		return one, false
	case unit < 0xD800 || unit > 0xDBFF:
		return one, true
	}
	if len(data) < pair || data[one] != '\\' || data[one+1] != 'u' {
		return one, false
	}
	if low := hex4(data[one+2:]); low < 0xDC00 || low > 0xDFFF {
		return one, false
	}
	return pair, true
}

// hex4 reads four hexadecimal digits, -1 if they are not.
func hex4(data []byte) int {
	if len(data) < 4 {
		return -1
	}
	n := 0
	for _, c := range data[:4] {
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | int(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			n = n<<4 | int(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return n
}

// Clip cuts s to at most limit bytes, between characters.
func Clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
