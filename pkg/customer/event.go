// Package customer decides on who a customer is: registration, email address, profile, deactivation, erasure. Three
// words: a profile is what is known of the person; a verification proves that an email address is theirs; an erased
// customer's stream goes on existing, empty of anything personal.
package customer

import (
	"time"

	"defter/pkg/eventstore"
)

// Address is a postal address.
type Address struct {
	Line1      string `json:"line1,omitempty" jsonschema:"maxLength=200"`
	Line2      string `json:"line2,omitempty" jsonschema:"maxLength=200"`
	City       string `json:"city,omitempty" jsonschema:"maxLength=100"`
	Region     string `json:"region,omitempty" jsonschema:"maxLength=100"`
	PostalCode string `json:"postalCode,omitempty" jsonschema:"maxLength=20"`
	Country    string `json:"country,omitempty" jsonschema:"maxLength=60"`
}

// AddressPatch is what somebody tells of an address. A nil part was not told; one that is empty clears what is known.
type AddressPatch struct{ Line1, Line2, City, Region, PostalCode, Country *string }

// addressTraits are the names of the parts' stamps, in the order of the parts, and addressLimits how many bytes each has at most.
var (
	addressTraits = [...]string{"address.line1", "address.line2", "address.city", "address.region", "address.postalCode", "address.country"}
	addressLimits = [...]int{200, 200, 100, 100, 20, 60}
)

func (a *Address) parts() [len(addressTraits)]*string {
	return [...]*string{&a.Line1, &a.Line2, &a.City, &a.Region, &a.PostalCode, &a.Country}
}

func (p AddressPatch) parts() [len(addressTraits)]*string {
	return [...]*string{p.Line1, p.Line2, p.City, p.Region, p.PostalCode, p.Country}
}

// known is a copy of an address that there may be.
func (a *Address) known() Address {
	if a == nil {
		return Address{}
	}
	return *a
}

// Created: a customer is known from now on.
type Created struct {
	Email       string `json:"email,omitempty" pii:"email" jsonschema:"maxLength=254"`
	FirstName   string `json:"firstName,omitempty" pii:"name" jsonschema:"maxLength=100"`
	LastName    string `json:"lastName,omitempty" pii:"name" jsonschema:"maxLength=100"`
	Phone       string `json:"phone,omitempty" pii:"phone" jsonschema:"maxLength=32"`
	ExternalID  string `json:"externalId,omitempty" pii:"id" jsonschema:"maxLength=256,description=the id a client uses for the customer where it could identify the person"`
	Source      string `json:"source" pii:"-" jsonschema:"enum=web,enum=mobile,enum=api,enum=import"`
	IPAddress   string `json:"ipAddress,omitempty" pii:"ip" jsonschema:"maxLength=45"`
	UserAgent   string `json:"userAgent,omitempty" pii:"device" jsonschema:"maxLength=512"`
	Unconfirmed bool   `json:"unconfirmed,omitempty" pii:"-" jsonschema:"description=the email address must be verified before the customer is active"`
}

// EmailVerificationRequested: the address must be shown to be the customer's. The token itself is only in the message.
type EmailVerificationRequested struct {
	Email          string    `json:"email,omitempty" pii:"email" jsonschema:"maxLength=254"`
	VerificationID string    `json:"verificationId" pii:"-" jsonschema:"maxLength=64"`
	TokenHash      string    `json:"tokenHash" pii:"-" jsonschema:"maxLength=64,description=SHA-256 of the token in hexadecimal"`
	ExpiresAt      time.Time `json:"expiresAt" pii:"-"`
	Notice         string    `json:"notice" pii:"-" jsonschema:"enum=separate,enum=welcome,description=which message carries the token"`
}

// EmailVerified: the address is the customer's.
type EmailVerified struct {
	VerificationID string `json:"verificationId" pii:"-" jsonschema:"maxLength=64"`
}

// EmailUpdated: the address changed, and the new one is not verified.
type EmailUpdated struct {
	OldEmail             string `json:"oldEmail,omitempty" pii:"email" jsonschema:"maxLength=254"`
	NewEmail             string `json:"newEmail,omitempty" pii:"email" jsonschema:"maxLength=254"`
	IPAddress            string `json:"ipAddress,omitempty" pii:"ip" jsonschema:"maxLength=45"`
	UserAgent            string `json:"userAgent,omitempty" pii:"device" jsonschema:"maxLength=512"`
	RequiresVerification bool   `json:"requiresVerification" pii:"-"`
}

// EmailInvalidated: mail to the address cannot be delivered.
type EmailInvalidated struct {
	Reason string `json:"reason" pii:"-" jsonschema:"enum=bounced-permanent,enum=malformed"`
}

// NameUpdated: the name changed.
type NameUpdated struct {
	OldFirstName string `json:"oldFirstName,omitempty" pii:"name" jsonschema:"maxLength=100"`
	OldLastName  string `json:"oldLastName,omitempty" pii:"name" jsonschema:"maxLength=100"`
	NewFirstName string `json:"newFirstName,omitempty" pii:"name" jsonschema:"maxLength=100"`
	NewLastName  string `json:"newLastName,omitempty" pii:"name" jsonschema:"maxLength=100"`
}

// PhoneUpdated: the phone number changed.
type PhoneUpdated struct {
	OldPhone string `json:"oldPhone,omitempty" pii:"phone" jsonschema:"maxLength=32"`
	NewPhone string `json:"newPhone,omitempty" pii:"phone" jsonschema:"maxLength=32"`
}

// AddressUpdated: the postal address changed.
type AddressUpdated struct {
	OldAddress *Address `json:"oldAddress,omitempty" pii:"address"`
	NewAddress *Address `json:"newAddress,omitempty" pii:"address"`
}

// BirthDateUpdated: the date of birth changed. Dates are YYYY-MM-DD.
type BirthDateUpdated struct {
	OldDateOfBirth string `json:"oldDateOfBirth,omitempty" pii:"birthdate" jsonschema:"maxLength=10"`
	NewDateOfBirth string `json:"newDateOfBirth,omitempty" pii:"birthdate" jsonschema:"maxLength=10"`
}

// AttributesUpdated: traits a client gave that have no field of their own. A null removes one.
type AttributesUpdated struct {
	Attributes map[string]any `json:"attributes,omitempty" pii:"traits"`
}

// Deactivated: the customer gets no more marketing; everything is kept.
type Deactivated struct {
	Reason         string `json:"reason" pii:"-" jsonschema:"enum=customer-request,enum=fraud,enum=terms-violation,enum=other"`
	Notes          string `json:"notes,omitempty" pii:"text" jsonschema:"maxLength=1000"`
	PreviousStatus Status `json:"previousStatus" pii:"-"`
}

// Reactivated: the deactivation is undone; consents are not.
type Reactivated struct {
	Status Status `json:"status" pii:"-"`
}

// DeletionRequested: the customer is to be erased.
type DeletionRequested struct {
	Reason       string `json:"reason" pii:"-" jsonschema:"enum=gdpr-request,enum=data-retention-policy"`
	DeletionType string `json:"deletionType" pii:"-" jsonschema:"enum=soft,enum=hard,enum=anonymize"`
}

// DataDeleted: the data key and everything derived is gone.
type DataDeleted struct {
	DeletionType  string    `json:"deletionType" pii:"-" jsonschema:"enum=soft,enum=hard,enum=anonymize"`
	CompletedAt   time.Time `json:"completedAt" pii:"-"`
	CertificateID string    `json:"certificateId" pii:"-" jsonschema:"maxLength=64"`
}

// TraitsConfirmed: a client said again what is known of these traits, which by now counts more than what others said before.
type TraitsConfirmed struct {
	Traits []string `json:"traits" pii:"traits" jsonschema:"maxItems=210"`
}

// VisitorLinked: an anonymous visitor is this customer. LinkedAt is the earliest time that anybody said so.
type VisitorLinked struct {
	VisitorID string     `json:"visitorId" pii:"-" jsonschema:"maxLength=128"`
	LinkedAt  *time.Time `json:"linkedAt,omitempty" pii:"-"`
	Public    bool       `json:"public,omitempty" pii:"-" jsonschema:"description=said with a write key that everybody can read"`
}

// VisitorUnlinked: the visitor is somebody else after all.
type VisitorUnlinked struct {
	VisitorID string `json:"visitorId" pii:"-" jsonschema:"maxLength=128"`
	Reason    string `json:"reason,omitempty" pii:"text" jsonschema:"maxLength=200"`
}

// Aliased: another id of the client's is this customer too.
type Aliased struct {
	PreviousID string     `json:"previousId" pii:"-" jsonschema:"maxLength=128"`
	LinkedAt   *time.Time `json:"linkedAt,omitempty" pii:"-"`
}

// Unaliased: the other id is somebody else's after all.
type Unaliased struct {
	PreviousID string `json:"previousId" pii:"-" jsonschema:"maxLength=128"`
	Reason     string `json:"reason,omitempty" pii:"text" jsonschema:"maxLength=200"`
}

// GroupJoined: the customer belongs to a group, such as a company.
type GroupJoined struct {
	GroupID string         `json:"groupId" pii:"-" jsonschema:"maxLength=128"`
	Traits  map[string]any `json:"traits,omitempty" pii:"traits"`
}

// more is the upcaster of a version that only has further, optional fields.
func more(data map[string]any) map[string]any { return data }

// Events are the event types of this package.
var Events = []eventstore.Declaration{
	eventstore.Declare[Created]("CustomerCreated"),
	eventstore.Declare[EmailVerificationRequested]("EmailVerificationRequested"),
	eventstore.Declare[EmailVerified]("EmailVerified"),
	eventstore.Declare[EmailUpdated]("CustomerEmailUpdated"),
	eventstore.Declare[EmailInvalidated]("CustomerEmailInvalidated"),
	eventstore.Declare[NameUpdated]("CustomerNameUpdated"),
	eventstore.Declare[PhoneUpdated]("CustomerPhoneUpdated"),
	eventstore.Declare[AddressUpdated]("CustomerAddressUpdated"),
	eventstore.Declare[BirthDateUpdated]("CustomerBirthDateUpdated"),
	eventstore.Declare[AttributesUpdated]("CustomerAttributesUpdated"),
	eventstore.Declare[Deactivated]("CustomerDeactivated"),
	eventstore.Declare[Reactivated]("CustomerReactivated"),
	eventstore.Declare[DeletionRequested]("CustomerDataDeletionRequested"),
	eventstore.Ends(eventstore.Declare[DataDeleted]("CustomerDataDeleted")),
	eventstore.Declare[TraitsConfirmed]("CustomerTraitsConfirmed"),
	eventstore.Declare[TraitsClaimed]("CustomerTraitsClaimed"),
	eventstore.Declare[VisitorLinked]("VisitorLinked", more),
	eventstore.Declare[VisitorUnlinked]("VisitorUnlinked"),
	eventstore.Declare[Aliased]("CustomerAliased", more),
	eventstore.Declare[Unaliased]("CustomerUnaliased"),
	eventstore.Declare[GroupJoined]("GroupJoined"),
}
