package foreign

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Moment is a time as somebody told it. Local says that they told it by a clock whose offset from UTC is not known: At is then what
// the clock showed, as though it were UTC, and two moments of the same clock still have a difference.
type Moment struct {
	At    time.Time
	Local bool
}

// Before is how long before another moment this one was; ok is false where the two clocks cannot be compared.
func (m Moment) Before(other Moment) (d time.Duration, ok bool) {
	return other.At.Sub(m.At), m.Local == other.Local
}

// Reach is the last instant that a time may stand for: one that is told in whole seconds lasts until the next second begins.
// Whoever compares it with a time of more digits, to see whether it came after, asks for its end.
func Reach(at time.Time) time.Time {
	if at.Nanosecond() == 0 {
		return at.Add(time.Second - time.Millisecond)
	}
	return at
}

// maxAhead is how far a clock may be ahead, after correction where its skew is known.
const maxAhead = 5 * time.Minute

// firstDay is before anything that is told: clocks that were never set, or lost their battery, stand in 1970, 1980 or so.
var firstDay = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// Believed says whether something can have happened at a time, whoever says so: not in the future, nor before anything could be told.
func Believed(at, now time.Time) bool {
	return !at.After(now.Add(maxAhead)) && !at.Before(firstDay)
}

const maxTime = 64 // bytes of a time's form

// Time reads a time. These forms have one meaning:
//
//   - ISO 8601 with the day and the time of day, in its extended form (2024-02-29T08:00:00.5+03:00) and its basic one
//     (20240229T080000Z), with or without seconds, fractions behind a point or a comma, a space in place of the T, slashes in place
//     of the hyphens, the offset as Z, UTC, GMT, +03, +0300 or +03:00, also behind a space or a colon
//   - the same without an offset: the time of a clock that is somewhere (Local)
//   - seconds, milliseconds, microseconds or nanoseconds since 1970, by their 10, 13, 16 or 19 digits
//   - the forms of HTTP, mail and JavaScript, with the name of the weekday
//
// A day alone is no time, and 02/03/2024 has no one meaning.
func Time(text string) (m Moment, reason string) {
	text = strings.TrimSpace(text)
	if len(text) > maxTime || text == "" {
		return Moment{}, Unreadable
	}
	for _, read := range []func(string) (Moment, bool){epoch, iso, named} {
		if m, ok := read(text); ok {
			return m, ""
		}
	}
	return Moment{}, Unreadable
}

// epoch reads a count since 1970, whose unit its digits tell: they lie between the years 2001 and 2286.
func epoch(text string) (Moment, bool) {
	whole, fraction, exponent, ok := plain(text)
	if !ok {
		return Moment{}, false
	}
	whole, fraction, _ = strings.Cut(canonical(whole, fraction, exponent), ".")
	units := map[int]time.Duration{10: time.Second, 13: time.Millisecond, 16: time.Microsecond, 19: time.Nanosecond}
	unit, known := units[len(whole)]
	n, err := strconv.ParseInt(whole, 10, 64)
	if !known || err != nil {
		return Moment{}, false
	}
	second := int64(time.Second / unit)
	at := time.Unix(n/second, n%second*int64(unit))
	if unit == time.Second && fraction != "" {
		nanos, _ := strconv.ParseInt((fraction + "000000000")[:9], 10, 64) // digits
		at = at.Add(time.Duration(nanos))
	}
	return Moment{At: at.UTC()}, true
}

// cutDigits takes a number of exactly n digits off the beginning of s.
func cutDigits(s string, n int) (value int, rest string, ok bool) {
	if len(s) < n || !isDigits(s[:n]) {
		return 0, s, false
	}
	value, _ = strconv.Atoi(s[:n])
	return value, s[n:], true
}

// cutOne takes one of the characters off the beginning of s, if one stands there.
func cutOne(s, characters string) (rest string, ok bool) {
	if s == "" || !strings.Contains(characters, s[:1]) {
		return s, false
	}
	return s[1:], true
}

// iso reads the forms of ISO 8601.
func iso(text string) (Moment, bool) {
	y, month, d, rest, ok := day(text)
	if !ok {
		return Moment{}, false
	}
	spaced := strings.TrimLeft(rest, " ")
	if spaced == rest {
		if spaced, ok = cutOne(rest, "Tt"); !ok {
			return Moment{}, false
		}
	}
	h, rest, ok := cutDigits(spaced, 2)
	if !ok {
		return Moment{}, false
	}
	rest, extended := cutOne(rest, ":")
	minute, rest, ok := cutDigits(rest, 2)
	if !ok {
		return Moment{}, false
	}
	second, nanos := 0, 0
	if tail, colon := cutOne(rest, ":"); colon == extended && tail != "" && isDigits(tail[:1]) {
		if second, rest, ok = cutDigits(tail, 2); !ok {
			return Moment{}, false
		}
		if tail, ok := cutOne(rest, ".,"); ok {
			digits := len(tail) - len(strings.TrimLeft(tail, "0123456789"))
			if digits == 0 {
				return Moment{}, false
			}
			nanos, _ = strconv.Atoi((tail[:digits] + "000000000")[:9])
			rest = tail[digits:]
		}
	}
	offset, local, ok := zone(rest)
	at := time.Date(y, time.Month(month), d, h, minute, second, nanos, time.UTC)
	if !ok || at.Day() != d || int(at.Month()) != month || h > 23 || minute > 59 || second > 59 {
		return Moment{}, false
	}
	return Moment{At: at.Add(-offset), Local: local}, true
}

// day reads the day at the beginning of a text.
func day(text string) (y, m, d int, rest string, ok bool) {
	y, rest, ok = cutDigits(text, 4)
	if !ok {
		return 0, 0, 0, "", false
	}
	mark := ""
	if rest != "" && strings.Contains("-/", rest[:1]) {
		mark, rest = rest[:1], rest[1:]
	}
	if m, rest, ok = cutDigits(rest, 2); !ok {
		return 0, 0, 0, "", false
	}
	if rest, ok = strings.CutPrefix(rest, mark); !ok {
		return 0, 0, 0, "", false
	}
	d, rest, ok = cutDigits(rest, 2)
	return y, m, d, rest, ok
}

// zone reads the offset behind a time of day. What else programs write there, once the offset is known, says nothing more: the
// zone's name in Java's brackets, its abbreviation and the monotonic clock in Go's.
func zone(text string) (offset time.Duration, local, ok bool) {
	if text == "" {
		return 0, true, true
	}
	text = strings.TrimLeft(text, " :")
	for _, name := range []string{"UTC", "GMT", "Z", "z"} {
		if rest, is := strings.CutPrefix(text, name); is {
			if rest == "" || rest[0] == '[' || rest[0] == ' ' {
				return 0, false, true
			}
			text = rest // as in GMT+0300
			break
		}
	}
	sign := time.Duration(1)
	if rest, minus := cutOne(text, "-"); minus {
		sign, text = -1, rest
	} else if text, ok = cutOne(text, "+"); !ok {
		return 0, false, false
	}
	hours, rest, ok := cutDigits(text, 2)
	if !ok || hours > 14 {
		return 0, false, false
	}
	minutes := 0
	tail, _ := cutOne(rest, ":")
	if m, more, is := cutDigits(tail, 2); is {
		minutes, rest = m, more
	}
	if minutes > 59 || rest != "" && rest[0] != ' ' && rest[0] != '[' {
		return 0, false, false
	}
	return sign * (time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute), false, true
}

// named reads the forms that begin with a weekday: Thu, 29 Feb 2024 08:00:00 GMT and Thu Feb 29 2024 08:00:00 GMT+0300 (…).
func named(text string) (Moment, bool) {
	text, _, _ = strings.Cut(text, " (")
	for _, layout := range []string{time.RFC1123Z, "Mon, 2 Jan 2006 15:04:05 -0700", "Mon Jan 02 2006 15:04:05 GMT-0700"} {
		if at, err := time.Parse(layout, text); err == nil {
			return Moment{At: at.UTC()}, true
		}
	}
	for _, utc := range []string{" GMT", " UTC"} { // Go takes the name of any zone, and believes all of them to be UTC
		if rest, ok := strings.CutSuffix(text, utc); ok {
			if at, err := time.Parse("Mon, 2 Jan 2006 15:04:05", rest); err == nil {
				return Moment{At: at}, true
			}
		}
	}
	return Moment{}, false
}

// dateOf reads a day: YYYY-MM-DD, YYYYMMDD or YYYY/MM/DD, alone or at the beginning of a time. A time in UTC that is neither a day's beginning
// nor noon is somebody's midnight elsewhere, as browsers write it: which day it was there, it does not tell.
func dateOf(raw json.RawMessage) (date, reason string) {
	if kind(raw) != '"' {
		return "", WrongType // an instant is two days, depending on where
	}
	text, reason := textOf(raw)
	if reason != "" {
		return "", reason
	}
	y, m, d, rest, ok := day(strings.TrimSpace(text))
	at := time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC)
	if !ok || rest != "" && !strings.ContainsAny(rest[:1], "Tt ") || at.Day() != d || int(at.Month()) != m {
		return "", Unreadable
	}
	if when, why := Time(text); why == "" && strings.HasSuffix(strings.TrimSpace(text), "Z") && !slices.Contains([]string{"00:00:00", "12:00:00"}, when.At.UTC().Format(time.TimeOnly)) {
		return "", Ambiguous
	}
	return at.Format(time.DateOnly), ""
}
