package consent

import "time"

// Command is one of this package's commands.
type Command any

// Grant records a consent. Granted again while active it does nothing, unless Renew prolongs it.
type Grant struct {
	Purpose Purpose
	Channel Channel
	Proof
	Renew bool
	At    time.Time
}

// Proof is how a consent can be shown to have been given: how, from where, to which wording in which language, with which
// address, and who answers for the data.
type Proof struct {
	Method                string
	IPAddress, UserAgent  string
	TextVersion, Language string
	AddressHash           string // keyed, "" for none
	Controller            string // "" for DataController
}

// Revoke ends a consent.
type Revoke struct {
	Purpose Purpose
	Channel Channel
	Reason  string
}

// Choose records what somebody chose about a purpose as a whole, as in a banner. A choice that was made before the latest
// thing on record about the purpose is late and does nothing.
type Choose struct {
	Purpose Purpose
	Granted bool
	Channel Channel // that stands for the whole purpose where nothing is on record
	Proof
	At time.Time
}

// RevokeMarketing ends all marketing consents, as when the customer is deactivated. Others stay.
type RevokeMarketing struct{ Reason string }

// Expire ends or announces the end of every consent that is due at that time.
type Expire struct{ At time.Time }
