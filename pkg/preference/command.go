package preference

import "time"

// Set sets the fields that are not nil, as of At.
type Set struct {
	Values Values
	At     time.Time
	Dated  bool // At was given by the client, so that a write that changes nothing still counts as the latest
}
