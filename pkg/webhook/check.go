package webhook

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"

	"defter/pkg/fault"
	"defter/pkg/ingest"
	"defter/pkg/source"
)

func invalid(format string, args ...any) error {
	return fault.New(fault.Rejected, "invalid-source", "webhook: "+format, args...)
}

// Check refuses settings that could not work: an unknown signature, a secret of the wrong form, an expression that cannot
// be read.
func Check(w source.Webhook) error {
	switch w.Signature {
	case source.Unsigned:
	case source.StandardWebhooks:
		if key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(w.Secret, "whsec_")); err != nil || len(key) < minSecret {
			return invalid("the secret must be base64 of %d bytes or more, behind whsec_ or not", minSecret)
		}
	case source.SendGrid:
		if _, err := publicKey(w.Secret); err != nil {
			return invalid("the secret must be SendGrid's verification key")
		}
	case source.Stripe, source.Shopify:
		if len(w.Secret) < minSecret {
			return invalid("the secret must have %d bytes or more", minSecret)
		}
	default:
		return invalid("signature must be none, standard, stripe, shopify or sendgrid")
	}
	if err := checkScope(w); err != nil {
		return err
	}
	_, rules := Rules(w)
	if len(rules) == 0 || len(rules) > maxRules {
		return invalid("there must be 1 to %d rules", maxRules)
	}
	if descents(w) > maxDescents {
		return invalid("at most %d paths may look everywhere (..)", maxDescents)
	}
	for i, r := range rules {
		if err := checkHeader(w, r); err != nil {
			return err
		}
		if r.Type != "" && r.Type != "track" && r.Type != "identify" {
			return invalid("rule %d: type must be track or identify", i+1)
		}
		if r.Type != "identify" && r.Event == "" {
			return invalid("rule %d: a track needs an event", i+1)
		}
		if r.UserID == "" && r.AnonymousID == "" && (!ingest.FollowsUp(r.Event) || r.Properties["order_id"] == "") {
			return invalid("rule %d: userId or anonymousId must say whom it is about, or order_id which order", i+1)
		}
	}
	_, err := Read(w)
	return err
}

// checkScope refuses what a service's deliveries cannot be of.
func checkScope(w source.Webhook) error {
	topics := TopicsOf(w.Signature)
	if reason, ignored := Presets[w.Signature].ignores(w.Topic); topics != nil && ignored {
		return invalid("nothing is made of the topic %.100s: %s", w.Topic, reason)
	}
	switch {
	case topics == nil && w.Topic != "":
		return invalid("only a shop of Shopify has a topic")
	case topics != nil && w.Topic == "":
		return invalid("topic must say what is delivered to this address, such as orders/paid: what Shopify writes beside a delivery is not signed")
	case len(w.Rules) == 0 && topics != nil && !slices.Contains(topics, w.Topic):
		return invalid("topic must be one of %s, or there must be rules", strings.Join(topics, ", "))
	case w.Account != "" && w.Signature != source.Stripe:
		return invalid("only deliveries of Stripe are of an account")
	case w.Test && w.Signature != source.Stripe && w.Signature != source.Shopify:
		return invalid("only deliveries of Stripe and Shopify are of live or of test mode")
	}
	return nil
}

func pathsOf(texts []string) (paths []string) {
	for _, text := range texts {
		paths = append(paths, pathsIn(text)...)
	}
	return paths
}

// checkHeader refuses rules that ask for what stands beside a delivery and is not signed: whoever has one delivery could send it as another.
func checkHeader(w source.Webhook, r source.Rule) error {
	signed := (&Mapping{hook: w}).Signed(map[string]string{})
	if w.Signature == source.Unsigned {
		return nil
	}
	texts := slices.Concat(slices.Collect(maps.Values(r.Properties)), []string{r.Each, r.UserID, r.AnonymousID, r.MessageID, r.Timestamp})
	for _, text := range slices.Concat(slices.Collect(maps.Keys(r.When)), pathsOf(texts)) {
		name, asks := strings.CutPrefix(strings.NewReplacer("['", ".", `["`, ".", "']", "", `"]`, "").Replace(text), "$.header")
		if _, ok := signed[strings.TrimPrefix(name, ".")]; asks && !ok {
			return invalid("%.100q is not signed, and may say nothing", text)
		}
	}
	return nil
}
