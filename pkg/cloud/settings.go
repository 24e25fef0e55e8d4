// Package cloud runs the handlers on AWS: it reads the environment, makes the clients and starts the Lambda runtime. Each
// function names the parts it needs beyond the tables, so that no binary carries a client it never uses.
package cloud

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"defter/pkg/app"
	"defter/pkg/foreign"
	"defter/pkg/retention"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// Settings are what the deployment tells a function through its environment.
type Settings struct {
	EventsTable, ViewsTable, KeysTable string
	Bus, EmailQueue, Journeys          string
	Payments, Erasures                 string // the state machines of charges and refunds, and of erasures
	PaymentProvider                    string // stripe, local, or "" for none
	PaymentKeySecret                   string
	MasterKey                          string
	APIKeySecret                       string
	EmailFrom                          string
	EdgeKey                            string // what proves that a request came by the deployment's CDN; "" for none
	ArchiveBucket                      string
	WelcomeDelay, KeepBehaviour        time.Duration
	ReturnWindow, CartIdle             time.Duration
	DataController                     string
	MarketingUnverified                bool
	UserTokenIssuer, UserTokenAudience string         // of the tokens by which customers prove who they are; "" for none
	Placeholders                       []string       // ids that stand for nobody
	OpaqueIDs                          *regexp.Regexp // of ids that tell nothing about a person
}

// Environment reads the settings and reports everything wrong with them at once. What a function may not touch is not in
// its environment, and stays empty.
func Environment() (Settings, error) {
	s := Settings{
		EventsTable: os.Getenv("DEFTER_EVENTS_TABLE"), ViewsTable: os.Getenv("DEFTER_VIEWS_TABLE"), KeysTable: os.Getenv("DEFTER_KEYS_TABLE"),
		Bus: os.Getenv("DEFTER_BUS"), EmailQueue: os.Getenv("DEFTER_EMAIL_QUEUE"), Journeys: os.Getenv("DEFTER_JOURNEYS"),
		MasterKey: os.Getenv("DEFTER_MASTER_KEY"), APIKeySecret: os.Getenv("DEFTER_API_KEY_SECRET"),
		Payments: os.Getenv("DEFTER_PAYMENTS"), Erasures: os.Getenv("DEFTER_ERASURES"), PaymentProvider: os.Getenv("DEFTER_PAYMENT_PROVIDER"), PaymentKeySecret: os.Getenv("DEFTER_PAYMENT_KEY_SECRET"),
		ArchiveBucket: os.Getenv("DEFTER_ARCHIVE_BUCKET"), EdgeKey: os.Getenv("DEFTER_EDGE_KEY"), DataController: os.Getenv("DEFTER_DATA_CONTROLLER"),
		MarketingUnverified: os.Getenv("DEFTER_MARKETING_TO") == "any",
		UserTokenIssuer:     os.Getenv("DEFTER_USER_TOKEN_ISSUER"), UserTokenAudience: os.Getenv("DEFTER_USER_TOKEN_AUDIENCE"),
		EmailFrom: os.Getenv("DEFTER_EMAIL_FROM"),
	}
	var errs []error
	s.WelcomeDelay = 24 * time.Hour
	if raw := os.Getenv("DEFTER_WELCOME_DELAY"); raw != "" {
		delay, err := time.ParseDuration(raw)
		if err != nil || delay <= 0 {
			errs = append(errs, fmt.Errorf("DEFTER_WELCOME_DELAY is %q, must be a positive duration such as 24h", raw))
		}
		s.WelcomeDelay = delay
	}
	if !slices.Contains([]string{"", "local", "stripe"}, s.PaymentProvider) {
		errs = append(errs, fmt.Errorf("DEFTER_PAYMENT_PROVIDER is %q, must be stripe, local or nothing", s.PaymentProvider))
	}
	if raw := os.Getenv("DEFTER_CART_IDLE"); raw != "" {
		idle, err := time.ParseDuration(raw)
		if err != nil || idle < time.Minute {
			errs = append(errs, fmt.Errorf("DEFTER_CART_IDLE is %q, must be a duration of a minute or more, such as 60m", raw))
		}
		s.CartIdle = idle
	}
	if to := os.Getenv("DEFTER_MARKETING_TO"); !slices.Contains([]string{"", "verified", "any"}, to) {
		errs = append(errs, fmt.Errorf("DEFTER_MARKETING_TO is %q, must be verified or any", to))
	}
	if (s.UserTokenIssuer == "") != (s.UserTokenAudience == "") {
		errs = append(errs, errors.New("DEFTER_USER_TOKEN_ISSUER and DEFTER_USER_TOKEN_AUDIENCE are set together or not at all"))
	}
	if raw := os.Getenv("DEFTER_PLACEHOLDER_IDS"); raw != "" {
		s.Placeholders = strings.Split(raw, ",")
	}
	opaque, err := foreign.OpaquePattern(os.Getenv("DEFTER_OPAQUE_IDS"))
	if err != nil {
		errs = append(errs, fmt.Errorf("DEFTER_OPAQUE_IDS must be a regular expression: %w", err))
	}
	s.OpaqueIDs = opaque
	s.ReturnWindow = app.DefaultReturnWindow
	if raw := os.Getenv("DEFTER_RETURN_WINDOW"); raw != "" {
		window, err := time.ParseDuration(raw)
		if err != nil || window < 0 {
			errs = append(errs, fmt.Errorf("DEFTER_RETURN_WINDOW is %q, must be a duration such as 720h", raw))
		}
		s.ReturnWindow = window
	}
	s.KeepBehaviour = retention.KeepFor
	if raw := os.Getenv("DEFTER_KEEP_BEHAVIOUR"); raw != "" {
		keep, err := time.ParseDuration(raw)
		if err != nil || keep < retention.MinKeepFor {
			errs = append(errs, fmt.Errorf("DEFTER_KEEP_BEHAVIOUR is %q, must be a duration of at least %s", raw, retention.MinKeepFor))
		}
		s.KeepBehaviour = keep
	}
	return s, errors.Join(errs...)
}

// answerWithin is how long AWS may take to answer one request. The SDK has no limit of its own: one that never answers would hold a
// function until its time is up, with no time left to try again.
const answerWithin = 5 * time.Second

// Amazon reads what Lambda tells every function: its region and the credentials of its role, which hold for as long as
// the environment does. It is all there is: the SDK's own loader would look for profiles, single sign-on and metadata
// services too, and take longer to start than everything else here. AWS_ENDPOINT_URL names an emulator, AWS_CA_BUNDLE the
// file with the certificates to trust instead of the system's, both as the SDK knows them.
func Amazon() (aws.Config, error) {
	client := awshttp.NewBuildableClient().WithTimeout(answerWithin)
	c := aws.Config{
		Region:      os.Getenv("AWS_REGION"),
		Credentials: credentials.NewStaticCredentialsProvider(os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), os.Getenv("AWS_SESSION_TOKEN")),
	}
	if endpoint := os.Getenv("AWS_ENDPOINT_URL"); endpoint != "" {
		c.BaseEndpoint = &endpoint
	}
	if file := os.Getenv("AWS_CA_BUNDLE"); file != "" {
		certificates, err := os.ReadFile(file)
		if err != nil {
			return c, fmt.Errorf("AWS_CA_BUNDLE: %w", err)
		}
		trusted := x509.NewCertPool()
		if !trusted.AppendCertsFromPEM(certificates) {
			return c, fmt.Errorf("AWS_CA_BUNDLE: %s holds no certificate", file)
		}
		client = client.WithTransportOptions(func(t *http.Transport) {
			t.TLSClientConfig = &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}
		})
	}
	if c.HTTPClient = client; c.Region == "" {
		return c, errors.New("AWS_REGION is not set")
	}
	return c, nil
}
