package consent

import "time"

// Command is one of this package's commands.
type Command any

// Grant records a consent. Granted again while active it does nothing, unless Renew prolongs it.
type Grant struct {
	Purpose              Purpose
	Channel              Channel
	Method               string
	IPAddress, UserAgent string
	Controller           string // "" for DataController
	Renew                bool
	At                   time.Time
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
	Purpose              Purpose
	Granted              bool
	Channel              Channel // that stands for the whole purpose where nothing is on record
	Method               string
	IPAddress, UserAgent string
	At                   time.Time
}

// RevokeMarketing ends all marketing consents, as when the customer is deactivated. Others stay.
type RevokeMarketing struct{ Reason string }

// Expire ends or announces the end of every consent that is due at that time.
type Expire struct{ At time.Time }
