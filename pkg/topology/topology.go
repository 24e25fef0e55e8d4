// Package topology is the one table of the system: every function with what triggers it, what it may touch and how
// long, how large and how often it may run. infra/ turns each row into constructs, the embedded run wires the same rows
// in one process, and tests hold the folders under functions/, the routes of the API description and this table
// together. Three words: a function is one Lambda, its trigger is what calls it, its access is all it may touch.
package topology

// Table names, before the deployment's prefix.
const (
	Events = "events" // commit items, snapshots, uniqueness and idempotency items; its stream is the outbox
	Views  = "views"  // read models, the send ledger, quarantine, compliance records
	Keys   = "keys"   // customers' wrapped data keys and the wrapped key-encryption keys
)

// Names of the other shared resources.
const (
	Bus          = "customer-events"
	EmailQueue   = "email"
	Journeys     = "journeys"     // the state machine every journey run waits in
	Payments     = "payments"     // the state machine that charges and refunds wait in
	Erasures     = "erasures"     // the state machine that erasures go on in
	CommitPrefix = "E#"           // sort keys of commit items; the stream filters pass nothing else
	BusSource    = "crm.customer" // EventBridge Source of every published event
	Day          = 24 * 60 * 60   // seconds
)

// Table is a DynamoDB table: string keys pk and sk, on-demand capacity.
type Table struct {
	Name         string
	Stream       bool   // new images
	TTLAttribute string // "" for none
}

// Tables lists every table.
var Tables = []Table{
	{Name: Events, Stream: true, TTLAttribute: "ttl"},
	{Name: Views, TTLAttribute: "ttl"},
	{Name: Keys},
}

// Queue is an SQS queue with a dead-letter queue after MaxReceives.
type Queue struct {
	Name              string
	VisibilitySeconds int
	MaxReceives       int
}

// Machine is a state machine that calls one function step by step, and waits between the steps.
type Machine struct {
	Name, Summary string
	Task          string // the function
}

// Machines lists every state machine.
var Machines = []Machine{
	{Journeys, "Runs of journeys", "run-journey-step"},
	{Payments, "Charges and refunds", "run-payment-step"},
	{Erasures, "Erasures", "run-erasure-step"},
}

// Queues lists every work queue.
var Queues = []Queue{{Name: EmailQueue, VisibilitySeconds: 180, MaxReceives: 5}}

// Auth says who may call a route.
type Auth string

const (
	Public   Auth = "public"    // nobody is asked
	APIKey   Auth = "api-key"   // Authorization: Bearer <API key>
	WriteKey Auth = "write-key" // an SDK's write key, as the wire contract says
)

// Route is an HTTP route in API Gateway's notation.
type Route struct {
	Method, Path string
	Auth         Auth
}

// Anywhere is the path of routes that API Gateway takes where no other fits. Some clients put a slash at the end of a path, which it
// takes for another path, and no route may end in one.
const Anywhere = "/{path+}"

// StreamTrigger reads commit items from a table's stream.
type StreamTrigger struct {
	Table         string
	BatchSize     int
	WindowSeconds int
	Parallel      int // concurrent batches per shard; order per partition key is kept
}

// QueueTrigger reads an SQS queue, with partial batch responses.
type QueueTrigger struct {
	Queue     string
	BatchSize int
}

// BusTrigger receives one published event per call.
type BusTrigger struct {
	Types []string // event types
}

// ScheduleTrigger calls the function every so many minutes.
type ScheduleTrigger struct {
	EveryMinutes int
}

// Access is what a function may do to one resource.
type Access struct {
	Resource string   // a table, queue, bus or state machine name, or one of the Resource constants below
	Actions  []string // IAM actions, service prefix included
	Keys     []string // of a table: patterns of the partition keys that it is bound to; none for all
}

// Resources that are not tables, queues, the bus or the state machine.
const (
	MasterKey     = "master-key"     // the KMS key that wraps the key-encryption keys
	APIKeySecret  = "api-key"        // the secret that API callers present
	EmailIdentity = "email-identity" // the verified SES sender
	PaymentKey    = "payment-key"    // the secret that the payment provider knows us by
	Archive       = "archive"        // the objects of the bucket that keeps old behaviour
)

// Function is one row of the table.
type Function struct {
	Name    string // folder under functions/, verb-noun
	Summary string

	// Exactly one trigger is set.
	Routes   []Route
	Stream   *StreamTrigger
	Queue    *QueueTrigger
	Bus      *BusTrigger
	Schedule *ScheduleTrigger
	Task     bool // called by a state machine

	Access         []Access
	TimeoutSeconds int
	MemoryMB       int
	Concurrency    int // reserved; 0 for none
	Retries        int // of a stream call or of a rule's delivery, before its dead-letter queue; WithoutEnd for as long as the stream has it
}

// WithoutEnd retries until it succeeds: an outbox that gives up has lost events.
const WithoutEnd = -1

// The accesses that several functions share.
var (
	readEvents   = Access{Resource: Events, Actions: []string{"dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"}}
	appendEvents = Access{Resource: Events, Actions: []string{"dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:PutItem"}}
	releaseName  = Access{Events, []string{"dynamodb:DeleteItem"}, []string{"UNIQUE#*"}} // an address that is given up
	dropItems    = Access{Events, []string{"dynamodb:DeleteItem"}, []string{"CUSTOMER#*", "VISITOR#*"}}
	readViews    = Access{Resource: Views, Actions: []string{"dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"}}
	writeViews   = Access{Resource: Views, Actions: []string{"dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem"}}
	readKeys     = Access{Resource: Keys, Actions: []string{"dynamodb:GetItem"}}
	putKeys      = Access{Keys, []string{"dynamodb:PutItem"}, []string{"CUSTOMER#*", "VISITOR#*", "PRODUCT#*", "SOURCES", "SYSTEM#*"}}
	putSecrets   = Access{Keys, []string{"dynamodb:PutItem"}, []string{"KEK#*", "SECRET#*"}}
	unwrap       = Access{Resource: MasterKey, Actions: []string{"kms:Decrypt"}}
	wrap         = Access{Resource: MasterKey, Actions: []string{"kms:Encrypt"}}
	apiKey       = Access{Resource: APIKeySecret, Actions: []string{"secretsmanager:GetSecretValue"}}

	record  = []Access{appendEvents, readKeys, putKeys, unwrap} // appends to streams whose owners may be new
	secrets = []Access{putSecrets, wrap}                        // makes the system's own secrets, which are made once: by the first customer, source or message
	command = append([]Access{readViews, apiKey}, record...)
	query   = []Access{readEvents, readViews, readKeys, unwrap, apiKey}
	project = []Access{readEvents, writeViews, readKeys, unwrap}
)

// and are several accesses together.
func and(all ...[]Access) (together []Access) {
	for _, some := range all {
		together = append(together, some...)
	}
	return together
}

func only(some ...Access) []Access { return some }

// ConsentEvents are the event types that change what a customer has consented to.
var ConsentEvents = []string{"ConsentGranted", "ConsentRevoked", "ConsentExpired", "ConsentRenewed", "ConsentExpiring", "CustomerDataDeleted"}

// PreferenceEvents are the event types that change a customer's preferences.
var PreferenceEvents = []string{"PreferencesUpdated", "CustomerDataDeleted"}

// AuditedEvents are the event types kept in the audit trail.
var AuditedEvents = []string{
	"CustomerCreated", "EmailVerificationRequested", "EmailVerified", "CustomerEmailUpdated", "CustomerEmailInvalidated",
	"CustomerNameUpdated", "CustomerPhoneUpdated", "CustomerAddressUpdated", "CustomerBirthDateUpdated",
	"CustomerDeactivated", "CustomerReactivated", "CustomerDataDeletionRequested", "CustomerDataDeleted",
	"ConsentGranted", "ConsentRevoked", "ConsentExpired", "ConsentRenewed", "PreferencesUpdated",
	"BehaviourArchived",
}

func api(name, summary, method, path string, access []Access) Function {
	return Function{Name: name, Summary: summary, Routes: []Route{{method, path, APIKey}}, Access: access, TimeoutSeconds: 15, MemoryMB: 256}
}

// Functions lists every function, in the order a reader meets them.
var Functions = []Function{
	api("register-customer", "Register a customer, with consent where it was given.", "POST", "/v1/customers", and(command, secrets)),
	api("find-customer", "Find a customer by email address.", "GET", "/v1/customers", query),
	api("get-customer", "Show a customer, now or as of a version or an instant.", "GET", "/v1/customers/{id}", query),
	api("update-profile", "Change a customer's profile by JSON merge patch.", "PATCH", "/v1/customers/{id}", command),
	api("change-email", "Change a customer's email address; it must be verified again.", "PUT", "/v1/customers/{id}/email", and(command, only(releaseName))),
	api("verify-email", "Verify an email address with its token, or ask for a new token.", "POST", "/v1/customers/{id}/email-verification", command),
	api("deactivate-customer", "Deactivate a customer and revoke marketing consents.", "POST", "/v1/customers/{id}/deactivation", command),
	api("reactivate-customer", "Reactivate a deactivated customer.", "POST", "/v1/customers/{id}/reactivation", command),
	api("grant-consent", "Record a consent, with its proof.", "POST", "/v1/customers/{id}/consents", command),
	api("revoke-consent", "Revoke a consent.", "DELETE", "/v1/customers/{id}/consents/{purpose}/{channel}", command),
	api("list-consents", "List a customer's consents, strongly consistent.", "GET", "/v1/customers/{id}/consents", query),
	api("set-preferences", "Set a customer's preferences; the last write of each field wins.", "PUT", "/v1/customers/{id}/preferences", command),
	api("list-events", "List a customer's events.", "GET", "/v1/customers/{id}/events", query),
	api("list-messages", "List what was sent to a customer or withheld, and why.", "GET", "/v1/customers/{id}/messages", query),
	api("list-timeline", "Show a customer's timeline, newest first.", "GET", "/v1/customers/{id}/timeline", query),
	api("list-audit", "Show who changed what about a customer.", "GET", "/v1/customers/{id}/audit", query),
	api("list-consented", "List the customers who consent to a purpose on a channel.", "GET", "/v1/consents", query),
	{
		Name: "erase-customer", Summary: "Erase a customer or a visitor: destroy the data keys, the lookups and the views, and certify it.",
		Routes:         []Route{{"POST", "/v1/customers/{id}/erasure", APIKey}, {"POST", "/v1/visitors/{id}/erasure", APIKey}},
		Access:         and(record, only(writeViews, apiKey, releaseName, dropItems)), // destroying a key writes over it
		TimeoutSeconds: 30, MemoryMB: 256,
	},
	{
		Name: "get-erasure", Summary: "Show how far an erasure has come, or its certificate.",
		Routes:         []Route{{"GET", "/v1/customers/{id}/erasure", APIKey}, {"GET", "/v1/visitors/{id}/erasure", APIKey}},
		Access:         query,
		TimeoutSeconds: 15, MemoryMB: 256,
	},
	{
		Name: "ingest-events", Summary: "Accept events from SDKs, as the Segment and RudderStack clients send them.",
		Routes: []Route{
			{"POST", "/v1/identify", WriteKey}, {"POST", "/v1/track", WriteKey}, {"POST", "/v1/page", WriteKey},
			{"POST", "/v1/screen", WriteKey}, {"POST", "/v1/group", WriteKey}, {"POST", "/v1/alias", WriteKey},
			{"POST", "/v1/merge", WriteKey}, {"POST", "/v1/batch", WriteKey}, {"POST", "/v1/import", WriteKey}, {"POST", "/internal/v1/replay", WriteKey},
			// analytics.js shortens the types to a letter; m is what it measures about itself.
			{"POST", "/v1/i", WriteKey}, {"POST", "/v1/t", WriteKey}, {"POST", "/v1/p", WriteKey}, {"POST", "/v1/s", WriteKey},
			{"POST", "/v1/g", WriteKey}, {"POST", "/v1/a", WriteKey}, {"POST", "/v1/b", WriteKey}, {"POST", "/v1/m", Public},
			// RudderStack's beacon, pages without a script, Jitsu.
			{"POST", "/beacon/v1/batch", WriteKey}, {"GET", "/pixel/v1/track", WriteKey}, {"GET", "/pixel/v1/page", WriteKey},
			{"POST", "/api/s/{type}", WriteKey}, {"POST", "/api/s/s2s/{type}", WriteKey},
			{"POST", "/v1/webhook", WriteKey}, // what other services post
			// What the browsers' SDKs ask for when they start, and what browsers ask before they send.
			{"GET", "/v1/projects/{writeKey}/settings", Public}, {"GET", "/sourceConfig", WriteKey}, {"GET", "/sourceConfig/{rest+}", WriteKey},
			{"OPTIONS", Anywhere, Public}, {"POST", Anywhere, WriteKey}, {"GET", Anywhere, Public},
		},
		// What waits for an order is tried again at once, and leaves the quarantine.
		Access: and(record, secrets, only(releaseName, Access{Resource: Views, Actions: []string{"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"}},
			Access{Views, []string{"dynamodb:UpdateItem"}, []string{"BUDGET#*"}})),
		TimeoutSeconds: 29, MemoryMB: 512, Concurrency: 400,
	},
	api("link-identity", "Say that a visitor, or another id, is this customer.", "POST", "/v1/customers/{id}/identities", command),
	api("unlink-identity", "Undo a merge: a visitor or another id is somebody else after all.", "DELETE", "/v1/customers/{id}/identities/{kind}/{identity}", command),
	api("list-identities", "List a customer's visitors and other ids.", "GET", "/v1/customers/{id}/identities", query),
	api("place-order", "Place an order, and pay it at once if wanted.", "POST", "/v1/orders", command),
	api("get-order", "Show an order: its state, its money and its timeline.", "GET", "/v1/orders/{id}", query),
	api("list-orders", "List a customer's orders, the latest first.", "GET", "/v1/customers/{id}/orders", query),
	api("pay-order", "Pay an order; the provider is asked, and asked again, in the background.", "POST", "/v1/orders/{id}/payment", command),
	api("cancel-order", "Cancel an order that is not shipped; what was paid goes back.", "POST", "/v1/orders/{id}/cancellation", command),
	api("ship-order", "Record that an order is on its way.", "POST", "/v1/orders/{id}/shipment", command),
	api("deliver-order", "Record that an order has arrived.", "POST", "/v1/orders/{id}/delivery", command),
	api("refund-order", "Give money back, in full or in part.", "POST", "/v1/orders/{id}/refunds", command),
	api("report-product", "Say how many pieces of a product there are, and what it costs.", "PUT", "/v1/products/{id}", command),
	api("get-product", "Show what was said of a product.", "GET", "/v1/products/{id}", query),
	api("create-source", "Create a source of events, with its write key.", "POST", "/v1/sources", and(command, secrets)),
	api("list-sources", "List the sources of events, with their write keys.", "GET", "/v1/sources", query),
	api("change-source", "Change a source's settings.", "PATCH", "/v1/sources/{id}", command),
	api("issue-write-key", "Issue a new write key to a source; those before it expire after an overlap.", "POST", "/v1/sources/{id}/write-keys", command),
	api("list-quarantine", "List the messages that were accepted and could not be taken in, and why.", "GET", "/v1/quarantine", query),
	api("release-quarantined", "Try again to take in a quarantined message.", "POST", "/v1/quarantine/{id}/release",
		and(record, only(writeViews, apiKey, releaseName))),
	{
		Name: "describe-api", Summary: "Answer health checks, and describe the API and its version.",
		Routes: []Route{
			{"GET", "/healthz", Public}, {"GET", "/health", Public}, {"GET", "/version", Public}, {"GET", "/robots.txt", Public}, {"GET", "/openapi.json", Public},
		},
		Access:         only(Access{Resource: Keys, Actions: []string{"dynamodb:GetItem"}}),
		TimeoutSeconds: 5, MemoryMB: 128,
	},
	{
		Name: "publish-events", Summary: "Publish the events table's stream on the bus, without personal data.",
		Stream:         &StreamTrigger{Table: Events, BatchSize: 100, WindowSeconds: 0, Parallel: 10},
		Access:         only(Access{Resource: Bus, Actions: []string{"events:PutEvents"}}),
		TimeoutSeconds: 60, MemoryMB: 256, Retries: WithoutEnd, Concurrency: 20,
	},
	{
		Name: "project-activity", Summary: "Project profiles and timelines from the events table's stream, in batches and in order.",
		Stream:         &StreamTrigger{Table: Events, BatchSize: 500, WindowSeconds: 0, Parallel: 10},
		Access:         project,
		TimeoutSeconds: 60, MemoryMB: 512, Retries: 10, Concurrency: 40,
	},
	{
		Name: "project-consent", Summary: "Project consents, and the lookup by purpose and channel, at once.",
		Bus:            &BusTrigger{Types: ConsentEvents},
		Access:         project,
		TimeoutSeconds: 30, MemoryMB: 256, Retries: 5,
	},
	{
		Name: "project-preferences", Summary: "Project preferences at once.",
		Bus:            &BusTrigger{Types: PreferenceEvents},
		Access:         project,
		TimeoutSeconds: 30, MemoryMB: 256, Retries: 5,
	},
	{
		Name: "project-audit", Summary: "Project the audit trail.",
		Bus:            &BusTrigger{Types: AuditedEvents},
		Access:         project,
		TimeoutSeconds: 30, MemoryMB: 256, Retries: 5,
	},
	{
		Name: "join-identities", Summary: "Tell the history of a visitor or another id whose it is.",
		Bus:            &BusTrigger{Types: []string{"VisitorLinked", "VisitorUnlinked", "CustomerAliased", "CustomerUnaliased"}},
		Access:         and(record, only(readViews)),
		TimeoutSeconds: 30, MemoryMB: 256, Retries: 5,
	},
	{
		Name: "send-verification", Summary: "Queue the verification email of an address that must be verified.",
		Bus:            &BusTrigger{Types: []string{"EmailVerificationRequested"}},
		Access:         only(Access{Resource: EmailQueue, Actions: []string{"sqs:SendMessage"}}),
		TimeoutSeconds: 30, MemoryMB: 256, Retries: 5,
	},
	{
		Name: "trigger-journeys", Summary: "Start the journeys an event triggers.",
		Bus:            &BusTrigger{Types: []string{"ConsentGranted", "ConsentRenewed", "EmailVerified"}},
		Access:         and(record, only(Access{Resource: Journeys, Actions: []string{"states:StartExecution"}})),
		TimeoutSeconds: 30, MemoryMB: 256, Retries: 5,
	},
	{
		Name: "run-journey-step", Summary: "Run the next step of a journey and say how long to wait for the one after.",
		Task:           true,
		Access:         and(record, only(writeViews, Access{Resource: EmailQueue, Actions: []string{"sqs:SendMessage"}})),
		TimeoutSeconds: 30, MemoryMB: 256,
	},
	{
		Name: "trigger-payments", Summary: "Start the charges and refunds that were asked for.",
		Bus:            &BusTrigger{Types: []string{"PaymentInitiated", "RefundInitiated"}},
		Access:         only(Access{Resource: Payments, Actions: []string{"states:StartExecution"}}),
		TimeoutSeconds: 30, MemoryMB: 128, Retries: 5,
	},
	{
		Name: "run-payment-step", Summary: "Ask the payment provider for a charge or a refund, and say when to ask again.",
		Task:           true,
		Access:         and(record, only(Access{Resource: Views, Actions: []string{"dynamodb:GetItem", "dynamodb:PutItem"}}, Access{Resource: PaymentKey, Actions: []string{"secretsmanager:GetSecretValue"}})),
		TimeoutSeconds: 30, MemoryMB: 256, Concurrency: 20,
	},
	{
		Name: "trigger-erasures", Summary: "Start the erasures that were asked for.",
		Bus:            &BusTrigger{Types: []string{"CustomerDataDeletionRequested"}},
		Access:         only(Access{Resource: Erasures, Actions: []string{"states:StartExecution"}}),
		TimeoutSeconds: 30, MemoryMB: 128, Retries: 5,
	},
	{
		Name: "run-erasure-step", Summary: "Go on with an erasure for a while, and say when to go on.",
		Task:           true,
		Access:         and(record, only(writeViews, releaseName, dropItems)), // destroying a key writes over it
		TimeoutSeconds: 30, MemoryMB: 256, Concurrency: 20,
	},
	{
		Name: "release-reports", Summary: "Try again what was reported of an order and did not agree with it, when more is known of the order.",
		Bus:            &BusTrigger{Types: []string{"OrderPlaced", "PaymentSucceeded", "RefundCompleted", "RefundFailed", "RefundReversed"}},
		Access:         and(record, only(Access{Resource: Views, Actions: []string{"dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:DeleteItem"}})),
		TimeoutSeconds: 30, MemoryMB: 256, Retries: 5,
	},
	{
		Name: "send-email", Summary: "Send queued emails, after asking for consent once more.",
		Queue:          &QueueTrigger{Queue: EmailQueue, BatchSize: 10},
		Access:         and(record, only(writeViews, Access{Resource: EmailIdentity, Actions: []string{"ses:SendEmail"}})),
		TimeoutSeconds: 30, MemoryMB: 256, Concurrency: 20,
	},
	{
		Name: "detect-abandonment", Summary: "Say which carts and checkouts were left, an hour after the last activity.",
		Schedule:       &ScheduleTrigger{EveryMinutes: 5},
		Access:         and(record, only(writeViews)),
		TimeoutSeconds: 240, MemoryMB: 256, Retries: 2,
	},
	{
		Name: "expire-consents", Summary: "Expire consents whose term has ended and announce those that end within 30 days.",
		Schedule:       &ScheduleTrigger{EveryMinutes: 60},
		Access:         and(record, only(writeViews)),
		TimeoutSeconds: 300, MemoryMB: 256, Retries: 2,
	},
	{
		Name: "archive-behaviour", Summary: "Archive behaviour that is older than 90 days, and put summaries in its place.",
		Schedule:       &ScheduleTrigger{EveryMinutes: 24 * 60},
		Access:         and(record, only(dropItems, writeViews, Access{Resource: Archive, Actions: []string{"s3:PutObject"}})),
		TimeoutSeconds: 300, MemoryMB: 512, Retries: 2,
	},
}
