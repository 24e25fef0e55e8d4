package customer

import (
	"time"
)

// Command is one of this package's commands.
type Command any

// Register makes a customer whose email address must be verified. The token's hash, ids and times come from outside.
type Register struct {
	Email, FirstName, LastName, Phone string
	Source, IPAddress, UserAgent      string
	TermsAccepted                     bool
	Verification                      Verification
}

// Verification is a token to be sent with a message, as the event keeps it.
type Verification struct {
	ID, TokenHash string
	ExpiresAt     time.Time
	WithWelcome   bool // the welcome message carries the token, so that one message arrives and not two
}

// VerifyEmail shows that the address is the customer's.
type VerifyEmail struct {
	TokenHash string
	At        time.Time
}

// RequestVerification asks for a new token.
type RequestVerification struct{ Verification Verification }

// ChangeEmail changes the address, which must be verified again.
type ChangeEmail struct {
	Email, IPAddress, UserAgent string
	Verification                Verification
}

// UpdateProfile changes parts of the profile. A nil field stays as it is; a pointer to a zero value clears it.
type UpdateProfile struct {
	FirstName, LastName, Phone, DateOfBirth *string
	Address                                 *Address
	ClearAddress                            bool
	Attributes                              map[string]any // a nil value removes the attribute
	Today                                   string         // YYYY-MM-DD, UTC: nobody is born later
}

// Deactivate stops marketing; reversible.
type Deactivate struct{ Reason, Notes string }

// Reactivate undoes Deactivate.
type Reactivate struct{}

// RequestDeletion begins the erasure.
type RequestDeletion struct{ Reason, DeletionType string }

// CompleteDeletion ends it.
type CompleteDeletion struct {
	DeletionType, CertificateID string
	At                          time.Time
}

// Identify takes over what a client knows of the customer; unknown ones are created. It is a fact: what cannot be taken
// over is left out, never refused.
type Identify struct {
	Email      string // "" for unknown; not taken over where EmailTaken
	EmailTaken bool   // another customer has this address
	ClearEmail bool   // there is none
	Profile    UpdateProfile
	Address    AddressPatch // in the place of the profile's, which is a whole one
	Source     string
	ExternalID string
	IPAddress  string
	UserAgent  string
	VisitorID  string
	Public     bool      // the visitor is named with a key that everybody can read
	At         time.Time // when it was said: of two clients the later counts, whichever arrives first
	Timed      bool      // the client said when; else At is when it arrived, and of two at once what arrives later counts
	Undated    bool      // the client said when, and nobody can tell: it may be older than anything, and replaces nothing that is known
}

// LinkVisitor records that an anonymous visitor is this customer. Unless it is Asked for by somebody who knows, it does not
// undo an UnlinkVisitor.
type LinkVisitor struct {
	VisitorID string
	At        time.Time
	Asked     bool
	Public    bool // said with a key that everybody can read: it changes nothing that others said
}

// UnlinkVisitor undoes a link, for good.
type UnlinkVisitor struct {
	VisitorID, Reason string
	Linked            bool // which the state may not remember
}

// Alias records another id of the customer; likewise.
type Alias struct {
	PreviousID string
	At         time.Time
	Asked      bool
}

// Unalias undoes it.
type Unalias struct {
	PreviousID, Reason string
	Linked             bool
}

// JoinGroup records that the customer belongs to a group.
type JoinGroup struct {
	GroupID string
	Traits  map[string]any
}
