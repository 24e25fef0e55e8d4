package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"defter/pkg/source"
	"defter/pkg/webhook"
)

const webhooksFile = "docs/webhooks.md"

// webhooks is the page of what is made of the deliveries of the services that are known, and of what nothing is made.
func webhooks() []byte {
	var b strings.Builder
	b.WriteString("# What is made of webhooks\n\nGenerated from `pkg/webhook/presets.go` by `make generate`. A source of kind `webhook` without rules of its own understands these; a rule of\n" +
		"one's own is for anything else ([ADR 26](adr/0026-webhooks-become-messages.md), [ADR 35](adr/0035-what-is-reported-of-an-order.md)). What fits no line is put aside or noted in the log, as the\n" +
		"source says.\n\nMoney counts once it has moved. What an account or a shop sends in test mode, or for another account, is quarantined with the reason:\n" +
		"`livemode` and `account` of the source say what it is for.\n")
	for _, name := range slices.Sorted(maps.Keys(webhook.Presets)) {
		preset := webhook.Presets[name]
		title := map[string]string{source.Stripe: "Stripe", source.Shopify: "Shopify", source.SendGrid: "SendGrid"}[name]
		fmt.Fprintf(&b, "\n## %s\n\nIts list: <%s>. %s\n\n| delivered | where | becomes |\n|---|---|---|\n", title, preset.Docs, preset.Whose)
		if preset.Topics == nil {
			writeRules(&b, preset.Kind, "", preset.Rules)
		}
		for _, topic := range slices.Sorted(maps.Keys(preset.Topics)) {
			writeRules(&b, "", topic, preset.Topics[topic])
		}
		b.WriteString("\n| ignored | since |\n|---|---|\n")
		for _, i := range preset.Ignored {
			fmt.Fprintf(&b, "| `%s` | %s |\n", strings.Join(i.Kinds, "` `"), i.Reason)
		}
	}
	b.WriteString("\nA kind with a line in both tables is ignored where no condition of the first holds. Shopify's deliveries have one address for each topic, which the\n" +
		"source names: Shopify signs the body, and not the topic beside it.\n")
	return []byte(b.String())
}

func writeRules(b *strings.Builder, kind, topic string, rules []source.Rule) {
	for _, r := range rules {
		delivered := topic
		var where []string
		for _, path := range slices.Sorted(maps.Keys(r.When)) {
			if path == kind {
				delivered = r.When[path]
				continue
			}
			what := "is `" + r.When[path] + "`"
			if r.When[path] == "*" {
				what = "is there"
			}
			where = append(where, "`"+strings.TrimPrefix(path, "$.body.")+"` "+what)
		}
		if r.Each != "" {
			where = append(where, "each `"+strings.NewReplacer("$.body.", "", "||", `\|\|`).Replace(r.Each)+"`")
		}
		is := r.Event
		if r.Type == "identify" {
			is = "identify"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", delivered, strings.Join(where, ", "), is)
	}
}
