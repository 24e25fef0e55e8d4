package app

import (
	"context"
	"log/slog"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"defter/pkg/fault"
	"defter/pkg/ingest"
	"defter/pkg/metric"
)

// What may come from one address in a minute by public write keys, whatever their sources: a household, an office, a proxy.
const (
	addressMessages = 1_200
	addressPeople   = 120

	streamMessages = 600 // about one customer or visitor
)

const (
	shares      = 20      // a process takes a budget in so many shares: one write each. The first is free
	budgetsKept = 100_000 // of one minute in memory; beyond, those that come new are not told apart
)

// budgets keep what strangers send within limits that hold for all processes together. Each process counts by itself up to a
// share of the limit, which most never reach, and asks a counter in the table for every further share. What several
// processes let through beyond a limit is at most a share each.
type budgets struct {
	mu     sync.Mutex
	minute int64
	kept   map[string]*budget
}

// budget is one of a minute.
type budget struct {
	mu             sync.Mutex
	spent, granted int64
	over           bool // for the rest of the minute, without asking again
}

func (b *budgets) of(key string, minute, limit int64) *budget {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.minute != minute || b.kept == nil {
		b.minute, b.kept = minute, map[string]*budget{}
	}
	known := b.kept[key]
	if known == nil && len(b.kept) >= budgetsKept {
		key = "others of " + strconv.FormatInt(limit, 10)
		known = b.kept[key]
	}
	if known == nil {
		known = &budget{granted: share(limit)}
		b.kept[key] = known
	}
	return known
}

func share(limit int64) int64 { return max(1, limit/shares) }

// spend takes n of what there is of something in a minute; ok is false once it is spent.
func (a *App) spend(ctx context.Context, key string, n, limit int64) (ok bool, err error) {
	minute := a.Now().Unix() / 60
	b := a.budgets.of(key, minute, limit)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return false, nil
	}
	if b.spent+n > b.granted {
		more := max(n, share(limit))
		total, err := a.Views.Table.Add(ctx, "BUDGET#"+key+"#"+strconv.FormatInt(minute, 10), "#", more, a.Now().Add(5*time.Minute).Unix())
		if err != nil {
			return false, err
		}
		if total > limit {
			b.over = true
			return false, nil
		}
		b.granted += more
	}
	b.spent += n
	return true, nil
}

// afford takes messages from the budgets of their source and of the address that they came from. A request that has more of them than a
// whole budget takes all of it: it would never be taken otherwise, and clients send it again for ever.
func (a *App) afford(ctx context.Context, source ingest.Source, address string, messages int64) error {
	return a.affordOf(ctx, "messages", source, address, min(messages, addressMessages, max(source.MessagesPerMinute, 1)), source.MessagesPerMinute, addressMessages)
}

// affordStream takes messages about one customer or visitor from what public write keys may say of them in a minute: a stream that is
// flooded costs whoever else writes to it.
// Of it an address gets a part: whoever spends theirs learns nothing of how much others say of the same person.
func (a *App) affordStream(ctx context.Context, source ingest.Source, stream, address string, messages int64) error {
	if source.MessagesPerMinute == 0 {
		return nil
	}
	ok, err := a.spend(ctx, "stream#"+stream+"#"+networkOf(address), min(messages, streamMessages/2), streamMessages/2)
	if ok {
		ok, err = a.spend(ctx, "stream#"+stream, min(messages, streamMessages), streamMessages)
	}
	if err == nil && !ok {
		slog.WarnContext(ctx, "budget spent", metric.Count(metric.BudgetsSpent, 1), "source", source.ID, "of", "stream")
		err = fault.New(fault.Busy, "over-budget", "more is said of one customer in a minute than may be")
	}
	return err
}

// affordPeople takes people who were never heard of from the budgets.
func (a *App) affordPeople(ctx context.Context, source ingest.Source, address string, people int64) error {
	return a.affordOf(ctx, "people", source, address, people, source.NewPeoplePerMinute, addressPeople)
}

func (a *App) affordOf(ctx context.Context, what string, source ingest.Source, address string, n, ofSource, ofAddress int64) error {
	if ofSource == 0 {
		return nil
	}
	network, err := a.Keyring.Lookup(ctx, "address", networkOf(address)) // an address is personal, and stands in a key
	if err != nil {
		return err
	}
	for _, b := range []struct {
		whose, key string
		limit      int64
	}{{"address", what + "#" + network, ofAddress}, {"source", what + "#" + source.ID, ofSource}} {
		ok, err := a.spend(ctx, b.key, n, b.limit)
		if err != nil {
			return err
		}
		if !ok {
			slog.WarnContext(ctx, "budget spent", metric.Count(metric.BudgetsSpent, 1), "source", source.ID, "of", b.whose, "what", what)
			return fault.New(fault.Busy, "over-budget", "this %s sends more %s in a minute than it may", b.whose, what)
		}
	}
	return nil
}

// networkOf is the address, or of IPv6 the /64 that a subscriber has for themselves.
func networkOf(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || !ip.Is6() || ip.Is4In6() {
		return address
	}
	network, err := ip.Prefix(64)
	if err != nil {
		return address
	}
	return network.String()
}
