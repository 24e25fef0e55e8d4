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

// RevokeMarketing ends all marketing consents, as when the customer is deactivated. Others stay.
type RevokeMarketing struct{ Reason string }

// Expire ends or announces the end of every consent that is due at that time.
type Expire struct{ At time.Time }
