package ingest

import (
	"encoding/json"
	"slices"

	"defter/pkg/foreign"
)

// Consents are the choices that a consent banner reports with each message, by category. The zero Consents are none at all.
type Consents struct {
	Told    bool // there was a banner's word, be it an empty one
	Choices map[category]bool
}

// category is what a banner asks about, as far as it matters here: whether somebody may be measured.
type category int

const (
	unknown   category = iota
	analytics          // by its own name, which counts alone
	measuring          // by another name for the same; of several all must be chosen
	elsewhere          // of advertising, of what a page needs, of comfort: no matter of ours (ADR 27)
)

// categories are the names that consent platforms publish, by what is common to all ways of writing them (commonName).
//
//   - OneTrust numbers its groups: C0001 strictly necessary, C0002 performance, C0003 functional, C0004 targeting, C0005 social media.
//   - Cookiebot: necessary, preferences, statistics, marketing. Complianz has statistics-anonymous besides.
//   - Usercentrics: essential, functional, marketing. Osano: the same and analytics, personalization, storage, opt_out. CookieYes: necessary,
//     functional, analytics, performance, advertisement. TrustArc: required, functional, advertising.
//   - Didomi: the purposes of the Transparency and Consent Framework by name, and analytics, ad_delivery and others before that.
//   - Google's consent mode: analytics_storage, ad_storage, ad_user_data, ad_personalization, functionality_, personalization_, security_storage.
//   - Segment's documentation: advertising, analytics, functional, data sharing; its consent manager (npm @segment/consent-manager) says
//     marketingAndAnalytics, advertising, functional. Iubenda, by its names: necessary, functionality, experience, measurement, marketing.
//   - Ketch: analytics, behavioral_advertising, essential_services, personalization, product improvement, data sales, email marketing.
var categories = func() map[string]category {
	names := map[string]category{"analytics": analytics}
	for what, list := range map[category][]string{
		measuring: {
			"c0002", "performance", "performance_cookies", "statistics", "statistic", "statistics_anonymous", "measurement", "analytics_storage", "marketing_and_analytics",
			"measure_content_performance", "market_research", "audience_measurement", "analytics_cookies",
		},
		elsewhere: {
			"c0001", "c0003", "c0004", "c0005", "necessary", "strictly_necessary", "essential", "essential_services", "required", "functional", "functionality", "experience", "preferences",
			"marketing", "advertising", "advertisement", "targeting", "social_media", "social", "personalization", "storage", "opt_out", "data_sharing", "data_sales",
			"behavioral_advertising", "prod_improvement", "product_improvement", "email_mktg", "email_marketing", "ad_storage", "ad_user_data", "ad_personalization",
			"functionality_storage", "personalization_storage", "security_storage", "cookies", "create_ads_profile", "create_content_profile", "device_characteristics",
			"geolocation_data", "geo_marketing_studies", "improve_products", "measure_ad_performance", "select_basic_ads", "select_personalized_ads", "select_personalized_content",
			"use_limited_data_to_select_content", "ad_delivery", "advertising_personalization", "content_personalization",
		},
	} {
		for _, name := range list {
			names[commonName(name)] = what
		}
	}
	return names
}()

// iubenda are the categories of that platform by the numbers that RudderStack sends of it.
var iubenda = map[string]string{"1": "necessary", "2": "functionality", "3": "experience", "4": "measurement", "5": "marketing"}

// answers are words for yes and no besides those that everybody understands: of Google's consent mode, Osano, Didomi and others.
var answers = map[string]bool{
	"granted": true, "accept": true, "accepted": true, "allow": true, "allowed": true, "enabled": true, "optin": true, "on": true,
	"denied": false, "deny": false, "reject": false, "rejected": false, "refused": false, "disabled": false, "optout": false, "off": false,
}

func answer(raw json.RawMessage) (yes bool, reason string) {
	if yes, reason = foreign.Bool(raw); reason == "" {
		return yes, ""
	}
	if yes, known := answers[commonName(foreign.Scalar(raw))]; known {
		return yes, ""
	}
	return false, reason
}

// consents reads what was chosen in a banner, as Segment's SDKs tell it (consent.categoryPreferences) and as RudderStack's do
// (consentManagement, with lists of what is allowed and what is denied). A category whose choice cannot be read is as though it were not
// named: it refuses the message, and is no word of the customer's. So is one whose name nobody knows, which is noted.
func consents(o foreign.Object) (c Consents) {
	if said := o.Object("consent"); said.Has("categoryPreferences") {
		c.Told = true
		chosen := said.Object("categoryPreferences")
		for _, name := range chosen.Others() {
			if yes, reason := answer(chosen.Raw(name)); reason != "" {
				said.Note("categoryPreferences", reason)
			} else if !c.choose(name, yes) {
				said.Note("categoryPreferences", foreign.Unknown)
			}
		}
	}
	managed := o.Object("consentManagement")
	byIubenda := commonName(managed.Text(100, "provider")) == "iubenda"
	for _, list := range []struct {
		name string
		yes  bool
	}{{"allowedConsentIds", true}, {"deniedConsentIds", false}} {
		if !managed.Has(list.name) {
			continue
		}
		c.Told = true
		for _, name := range listed(managed, list.name) {
			if meant, numbered := iubenda[name]; byIubenda && numbered {
				name = meant
			}
			if !c.choose(name, list.yes) {
				managed.Note(list.name, foreign.Unknown)
			}
		}
	}
	return c
}

// maxConsentIDs bounds what is read of a list of consents.
const maxConsentIDs = 200

// listed are the ids of a list, or of an object that has them for its names, as RudderStack's clients told OneTrust's groups.
func listed(o foreign.Object, name string) []string {
	if isObject(o.Raw(name)) {
		return o.Object(name).Others()
	}
	return o.IDs(maxConsentIDs, MaxID, name)
}

// choose notes a choice about a category; of two about the same the refusal counts. known is false where nobody knows the name.
func (c *Consents) choose(name string, yes bool) (known bool) {
	what := categories[commonName(name)]
	if what == unknown {
		return false
	}
	if c.Choices == nil {
		c.Choices = map[category]bool{}
	}
	before, told := c.Choices[what]
	c.Choices[what] = yes && (before || !told)
	return true
}

// Analytics is what the customer chose about analytics in a banner; told is false where there was none. An object
// without a category of that meaning refuses it, as Segment has it.
func (c Consents) Analytics() (granted, told bool) {
	granted, _ = c.chosen()
	return granted, c.Told
}

// chosen is what was chosen about analytics; named is false where no category of that meaning is there.
func (c Consents) chosen() (granted, named bool) {
	for _, what := range []category{analytics, measuring} {
		if granted, named = c.Choices[what]; named {
			return granted, true
		}
	}
	return false, false
}

// preferenceEvents are the track events with which banners report that somebody chose: Segment's under both of its names, and
// RudderStack's.
var preferenceEvents = []string{"Segment Consent Preference Updated", "Segment Consent Preference", "Consent Management Interaction"}

// TellsChoice says whether a message reports that somebody chose in a banner.
func TellsChoice(m Message) bool {
	return m.Type == "track" && slices.Contains(preferenceEvents, m.Event) && m.Context.Consent.Told
}

// Chosen is what a message says was chosen about analytics, to be recorded. Only a category that is named counts: that one
// is absent refuses a message, but is no word of the customer's.
func Chosen(m Message) (granted, told bool) {
	if !TellsChoice(m) {
		return false, false
	}
	return m.Context.Consent.chosen()
}
