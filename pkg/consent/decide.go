package consent

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/foreign"
)

// Purpose is what a consent is for.
type Purpose string

// Channel is over what.
type Channel string

// The purposes and channels.
const (
	Marketing Purpose = "marketing"
	Analytics Purpose = "analytics"
	Essential Purpose = "essential"

	Email Channel = "email"
	SMS   Channel = "sms"
	Push  Channel = "push"
)

var (
	Purposes = []Purpose{Marketing, Analytics, Essential}
	Channels = []Channel{Email, SMS, Push}
)

const (
	termYears = 2                   // a consent is valid for two years
	notice    = 30 * 24 * time.Hour // and its end is announced this long before
)

// Statuses of a consent as shown.
const (
	StatusActive  = "active"
	StatusRevoked = "revoked"
	StatusExpired = "expired"
)

// Grant as it stands for one purpose and channel.
type Current struct {
	Purpose   Purpose    `json:"purpose"`
	Channel   Channel    `json:"channel"`
	Status    string     `json:"status"`
	Method    string     `json:"consentMethod,omitempty"`
	GrantedAt time.Time  `json:"grantedAt,omitzero"` // as ExpiresAt not of who refused without having been asked before
	ExpiresAt time.Time  `json:"expiresAt,omitzero"`
	RenewedAt *time.Time `json:"renewedAt,omitempty"`
	RevokedAt *time.Time `json:"revokedAt,omitempty"`
	Reason    string     `json:"reason,omitempty"`
	Announced bool       `json:"announced,omitempty"` // that it will expire
}

// ActiveAt says whether the consent allows anything at that time: granted, not revoked, not past its term.
func (c Current) ActiveAt(at time.Time) bool {
	return c.Status == StatusActive && at.Before(c.ExpiresAt)
}

// State is the latest consent of every purpose and channel, by "purpose/channel".
type State struct {
	Current map[string]Current `json:"current,omitempty"`
}

// Key names a purpose and channel in State and in views.
func Key(p Purpose, c Channel) string { return string(p) + "/" + string(c) }

// Allows says whether the customer agrees to the purpose on the channel at that time.
func (s State) Allows(p Purpose, c Channel, at time.Time) bool {
	return s.Current[Key(p, c)].ActiveAt(at)
}

// Stance is whether the customer agrees to the purpose on any channel at that time, and whether they were ever asked.
func (s State) Stance(p Purpose, at time.Time) (agrees, asked bool) {
	for _, c := range s.Current {
		if c.Purpose == p {
			asked, agrees = true, agrees || c.ActiveAt(at)
		}
	}
	return agrees, asked
}

// List returns the consents in a fixed order, with the status they have at that time.
func (s State) List(at time.Time) []Current {
	list := make([]Current, 0, len(s.Current))
	for _, key := range slices.Sorted(maps.Keys(s.Current)) {
		c := s.Current[key]
		if c.Status == StatusActive && !c.ActiveAt(at) {
			c.Status = StatusExpired
		}
		list = append(list, c)
	}
	return list
}

// Decider holds the rules.
var Decider = eventstore.Decider[State, Command, any]{
	Evolve: func(s State, event any) State { return Evolve(s, event, time.Time{}) },
	Decide: Decide,
}

// Evolve folds one event that happened at that time; events of other packages change nothing here.
func Evolve(s State, event any, at time.Time) State {
	switch e := event.(type) {
	case Granted:
		expires := Expiry(at)
		if e.ExpiresAt != nil {
			expires = *e.ExpiresAt
		}
		return s.with(Current{Purpose: e.Purpose, Channel: e.Channel, Status: StatusActive, Method: e.ConsentMethod, GrantedAt: at, ExpiresAt: expires})
	case Renewed:
		c := s.Current[Key(e.Purpose, e.Channel)]
		c.RenewedAt, c.ExpiresAt, c.Announced = &at, *e.ExpiresAt, false
		return s.with(c)
	case Revoked: // only the current grant: what was revoked before keeps its date
		c := s.Current[Key(e.Purpose, e.Channel)]
		c.Purpose, c.Channel, c.Status, c.RevokedAt, c.Reason = e.Purpose, e.Channel, StatusRevoked, &at, e.Reason
		return s.with(c)
	case Expired:
		c := s.Current[Key(e.Purpose, e.Channel)]
		c.Status = StatusExpired
		return s.with(c)
	case Expiring:
		c := s.Current[Key(e.Purpose, e.Channel)]
		c.Announced = true
		return s.with(c)
	}
	return s
}

func (s State) with(c Current) State {
	current := maps.Clone(s.Current)
	if current == nil {
		current = map[string]Current{}
	}
	current[Key(c.Purpose, c.Channel)] = c
	return State{Current: current}
}

// Expiry is two calendar years after a grant, in UTC, the last day of February standing in for the 29th.
func Expiry(granted time.Time) time.Time {
	granted = granted.UTC()
	expires := granted.AddDate(termYears, 0, 0)
	if expires.Day() != granted.Day() {
		expires = expires.AddDate(0, 0, -expires.Day())
	}
	return expires
}

// Decide decides on one command. Asked again, it returns no events.
func Decide(s State, command Command) ([]any, error) {
	switch c := command.(type) {
	case Grant:
		return grant(s, c)
	case Revoke:
		return revoke(s, c)
	case Choose:
		return choose(s, c)
	case RevokeMarketing:
		var events []any
		for _, key := range slices.Sorted(maps.Keys(s.Current)) {
			if current := s.Current[key]; current.Purpose == Marketing && current.Status == StatusActive {
				events = append(events, Revoked{current.Purpose, current.Channel, c.Reason})
			}
		}
		return events, nil
	case Expire:
		var events []any
		for _, key := range slices.Sorted(maps.Keys(s.Current)) {
			current := s.Current[key]
			switch {
			case current.Status != StatusActive:
			case !c.At.Before(current.ExpiresAt):
				events = append(events, Expired{current.Purpose, current.Channel, current.ExpiresAt})
			case !c.At.Before(current.ExpiresAt.Add(-notice)) && !current.Announced:
				events = append(events, Expiring{current.Purpose, current.Channel, current.ExpiresAt})
			}
		}
		return events, nil
	}
	return nil, fault.New(fault.Internal, "unknown-command", "consent does not know %T", command)
}

func grant(s State, c Grant) ([]any, error) {
	if err := Check(c.Purpose, c.Channel); err != nil {
		return nil, err
	}
	if err := c.Proof.check(); err != nil {
		return nil, err
	}
	expires := Expiry(c.At)
	if s.Allows(c.Purpose, c.Channel, c.At) {
		if !c.Renew || !expires.After(s.Current[Key(c.Purpose, c.Channel)].ExpiresAt) {
			return nil, nil
		}
		return []any{Renewed{
			Purpose: c.Purpose, Channel: c.Channel, ConsentMethod: c.Method,
			IPAddress: c.IPAddress, UserAgent: c.UserAgent, ExpiresAt: &expires,
			TextVersion: c.TextVersion, Language: c.Language, AddressHash: c.AddressHash,
		}}, nil
	}
	return []any{Granted{
		Purpose: c.Purpose, Channel: c.Channel, ConsentMethod: c.Method,
		IPAddress: c.IPAddress, UserAgent: c.UserAgent, ExpiresAt: &expires,
		GDPRContext: &GDPRContext{LegalBasis: "consent", RetentionPeriod: "2years", DataController: cmp.Or(c.Controller, DataController)},
		TextVersion: c.TextVersion, Language: c.Language, AddressHash: c.AddressHash,
	}}, nil
}

func revoke(s State, c Revoke) ([]any, error) {
	if err := Check(c.Purpose, c.Channel); err != nil {
		return nil, err
	}
	if c.Purpose == Essential {
		return nil, fault.New(fault.Rejected, "essential-consent", "essential messages cannot be refused")
	}
	if s.Current[Key(c.Purpose, c.Channel)].Status != StatusActive {
		return nil, nil
	}
	if !slices.Contains([]string{"customer-request", "account-deactivated", "unsubscribed", "complaint", "other"}, c.Reason) {
		return nil, fault.New(fault.Invalid, "invalid-reason", "reason must be customer-request, account-deactivated, unsubscribed, complaint or other")
	}
	return []any{Revoked(c)}, nil
}

func choose(s State, c Choose) ([]any, error) {
	agrees, asked := s.Stance(c.Purpose, c.At)
	var active []Current
	for _, key := range slices.Sorted(maps.Keys(s.Current)) {
		current := s.Current[key]
		if current.Purpose != c.Purpose {
			continue
		}
		said := c.At
		if !c.Granted { // in doubt about which came last within a second, the refusal
			said = foreign.Reach(said)
		}
		if said.Before(current.changedAt()) {
			return nil, nil
		}
		if current.Status == StatusActive {
			active = append(active, current)
		}
	}
	if c.Granted {
		if agrees {
			return nil, nil
		}
		return Decide(s, Grant{Purpose: c.Purpose, Channel: c.Channel, Proof: c.Proof, At: c.At})
	}
	if err := Check(c.Purpose, c.Channel); err != nil {
		return nil, err
	}
	if !asked { // refused at once, which is worth as much as a consent that is taken back
		return []any{Revoked{c.Purpose, c.Channel, "customer-request"}}, nil
	}
	var events []any
	for _, current := range active {
		revoked, err := Decide(s, Revoke{Purpose: current.Purpose, Channel: current.Channel, Reason: "customer-request"})
		if err != nil {
			return nil, err
		}
		events = append(events, revoked...)
	}
	return events, nil
}

// changedAt is when the consent was last granted, renewed or revoked.
func (c Current) changedAt() time.Time {
	latest := c.GrantedAt
	for _, at := range []*time.Time{c.RenewedAt, c.RevokedAt} {
		if at != nil && at.After(latest) {
			latest = *at
		}
	}
	return latest
}

// Due is when the consent next needs Expire: to be announced or ended. ok is false for one that is not active.
func (c Current) Due() (at time.Time, ok bool) {
	if c.Status != StatusActive {
		return time.Time{}, false
	}
	if c.Announced {
		return c.ExpiresAt, true
	}
	return c.ExpiresAt.Add(-notice), true
}

func (p Proof) check() error {
	for _, text := range []struct {
		name, value string
		limit       int
	}{{"consentMethod", p.Method, 100}, {"textVersion", p.TextVersion, 100}, {"language", p.Language, 35}} {
		if len(text.value) > text.limit {
			return fault.New(fault.Invalid, "too-long", "%s has %d bytes, at most %d", text.name, len(text.value), text.limit)
		}
	}
	return nil
}

// Check refuses unknown purposes and channels.
func Check(p Purpose, c Channel) error {
	if !slices.Contains(Purposes, p) {
		return fault.New(fault.Invalid, "invalid-purpose", "purpose must be one of %s", join(Purposes))
	}
	if !slices.Contains(Channels, c) {
		return fault.New(fault.Invalid, "invalid-channel", "channel must be one of %s", join(Channels))
	}
	return nil
}

func join[T ~string](list []T) string {
	words := make([]string, len(list))
	for i, w := range list {
		words[i] = string(w)
	}
	return strings.Join(words, ", ")
}
