package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"defter/pkg/foreign"
	"defter/pkg/retention"
	"defter/pkg/topology"
)

// Settings are what one deployment may choose. They come from the CDK context: cdk.json, or -c name=value.
type Settings struct {
	Stage           string // prefixes every name: defter-<stage>-…
	Arch            string // arm64 or x86_64, of the functions
	FunctionsDir    string // holds <function>/bootstrap
	EmailFrom       string // the sender of every email
	EmailIdentity   string // the verified SES identity that allows EmailFrom: its domain unless said otherwise
	WelcomeDelay    string // a Go duration
	PaymentProvider string // stripe, local (which moves no money), or "" for none
	DataController  string // who answers for the data: a company's name, as proofs of consent have it
	MarketingTo     string // verified, or any address
	UserTokenIssuer string // the OpenID Connect issuer of customers' tokens; "" for none
	UserTokenFor    string // the audience of those tokens
	PlaceholderIDs  string // ids that stand for nobody here, with commas between them
	OpaqueIDs       string // a regular expression of ids that tell nothing about a person
	CartIdle        string // a Go duration, after which a cart counts as abandoned
	ReturnWindow    string // a Go duration after delivery
	KeepBehaviour   string // in the event store, in detail; a Go duration
	MonthlyBudget   string // dollars; "" for no AWS Budget
	Reserve         string // true reserves concurrency for intake and for the back office
	WebACL          string // the ARN of the web ACL that CloudFront puts before the API; "" for no CloudFront
	AlarmEmail      string // who is told about alarms; "" for nobody
	Ephemeral       bool   // a test's deployment: deleting it deletes its data
}

var (
	webACLPattern = regexp.MustCompile(`^arn:aws[a-z-]*:wafv2:us-east-1:\d{12}:global/webacl/[\w-]+/[0-9a-f-]{36}$`)
	stagePattern  = regexp.MustCompile(`^[a-z][a-z0-9-]{0,15}$`)
	machineOfArch = map[string]elf.Machine{"arm64": elf.EM_AARCH64, "x86_64": elf.EM_X86_64}
)

// LoadSettings reads the context and reports everything that is wrong with it at once.
func LoadSettings(node constructs.Node) (Settings, error) {
	value := func(name, otherwise string) string {
		if text := fmt.Sprint(node.TryGetContext(jsii.String(name))); text != "<nil>" && text != "" {
			return text
		}
		return otherwise
	}
	s := Settings{
		Stage:           value("stage", "prod"),
		Arch:            value("arch", "arm64"),
		FunctionsDir:    value("functionsDir", "build/functions"),
		EmailFrom:       value("emailFrom", ""),
		WelcomeDelay:    value("welcomeDelay", "24h"),
		DataController:  value("dataController", ""),
		MarketingTo:     value("marketingTo", "verified"),
		UserTokenIssuer: value("userTokenIssuer", ""),
		UserTokenFor:    value("userTokenAudience", ""),
		PlaceholderIDs:  value("placeholderIds", ""),
		OpaqueIDs:       value("opaqueIds", ""),
		CartIdle:        value("cartIdle", "60m"),
		ReturnWindow:    value("returnWindow", "720h"),
		PaymentProvider: value("paymentProvider", ""),
		KeepBehaviour:   value("keepBehaviour", "2160h"), // 90 days
		MonthlyBudget:   value("monthlyBudget", ""),
		Reserve:         value("reserveConcurrency", "false"),
		WebACL:          value("webAcl", ""),
		AlarmEmail:      value("alarmEmail", ""),
		Ephemeral:       value("ephemeral", "false") == "true",
	}
	_, domain, isAddress := strings.Cut(s.EmailFrom, "@")
	s.EmailIdentity = value("emailIdentity", domain)

	var wrong []error
	refuse := func(name, value, want string) {
		wrong = append(wrong, fmt.Errorf("context %s=%q: want %s", name, value, want))
	}
	if !stagePattern.MatchString(s.Stage) {
		refuse("stage", s.Stage, "up to 16 lower-case letters, digits and hyphens, a letter first")
	}
	if !isAddress {
		refuse("emailFrom", s.EmailFrom, "an email address whose domain is verified in SES")
	}
	if delay, err := time.ParseDuration(s.WelcomeDelay); err != nil || delay <= 0 {
		refuse("welcomeDelay", s.WelcomeDelay, "a duration such as 24h")
	}
	if s.DataController == "" || len(s.DataController) > 200 {
		refuse("dataController", s.DataController, "the name of who answers for the data, up to 200 bytes: each proof of consent names them")
	}
	if !slices.Contains([]string{"verified", "any"}, s.MarketingTo) {
		refuse("marketingTo", s.MarketingTo, "verified, or any address, which sends to whatever somebody typed")
	}
	if u, err := url.Parse(s.UserTokenIssuer); s.UserTokenIssuer != "" && (err != nil || u.Scheme != "https" || u.Host == "") || (s.UserTokenIssuer == "") != (s.UserTokenFor == "") {
		refuse("userTokenIssuer", s.UserTokenIssuer, "the https URL of an OpenID Connect issuer, with userTokenAudience beside it, or neither")
	}
	if amount, err := strconv.ParseFloat(s.MonthlyBudget, 64); s.MonthlyBudget != "" && (err != nil || amount <= 0 || s.AlarmEmail == "") {
		refuse("monthlyBudget", s.MonthlyBudget, "dollars a month, with alarmEmail beside it")
	}
	if s.WebACL != "" && !webACLPattern.MatchString(s.WebACL) {
		refuse("webAcl", s.WebACL, "the ARN of a web ACL for CloudFront, arn:aws:wafv2:us-east-1:<account>:global/webacl/<name>/<id>")
	}
	if s.Reserve != "true" && s.Reserve != "false" {
		refuse("reserveConcurrency", s.Reserve, "true or false")
	}
	if window, err := time.ParseDuration(s.ReturnWindow); err != nil || window < 0 {
		refuse("returnWindow", s.ReturnWindow, "a duration such as 720h")
	}
	if _, err := foreign.OpaquePattern(s.OpaqueIDs); err != nil {
		refuse("opaqueIds", s.OpaqueIDs, "a regular expression of ids that tell nothing about a person")
	}
	if idle, err := time.ParseDuration(s.CartIdle); err != nil || idle < time.Minute {
		refuse("cartIdle", s.CartIdle, "a duration of a minute or more, such as 60m")
	}
	if !slices.Contains([]string{"", "stripe", "local"}, s.PaymentProvider) {
		refuse("paymentProvider", s.PaymentProvider, "stripe, or local, which moves no money, or nothing")
	}
	if keep, err := time.ParseDuration(s.KeepBehaviour); err != nil || keep < retention.MinKeepFor {
		refuse("keepBehaviour", s.KeepBehaviour, "a duration of at least "+retention.MinKeepFor.String()+", such as 2160h")
	}
	if _, known := machineOfArch[s.Arch]; !known {
		refuse("arch", s.Arch, "arm64 or x86_64")
	} else {
		for _, f := range topology.Functions {
			if err := checkBootstrap(filepath.Join(s.FunctionsDir, f.Name, "bootstrap"), s.Arch); err != nil {
				wrong = append(wrong, err)
			}
		}
	}
	return s, errors.Join(wrong...)
}

// checkBootstrap refuses a binary of the other architecture, which would deploy well and then fail at every call.
func checkBootstrap(path, arch string) error {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("function not built: %w", err)
	}
	binary, err := elf.Open(path)
	if err != nil {
		return nil // not a binary: the templates do not depend on it
	}
	defer binary.Close()
	if binary.Machine != machineOfArch[arch] {
		return fmt.Errorf("%s is built for %s, not for %s", path, binary.Machine, arch)
	}
	return nil
}

// Name is the physical name of a resource of this deployment.
func (s Settings) Name(name string) string { return "defter-" + s.Stage + "-" + name }
