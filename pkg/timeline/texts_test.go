package timeline_test

import (
	"strings"
	"testing"
	"unicode"

	"defter/pkg/catalog"
	"defter/pkg/timeline"
)

// TestEveryEventHasATextInEveryLanguage: whoever adds an event says what it is called.
func TestEveryEventHasATextInEveryLanguage(t *testing.T) {
	seen := map[string]string{}
	names := catalog.New().Names()
	for _, name := range names {
		english, turkish := timeline.Text(name, timeline.English), timeline.Text(name, timeline.Turkish)
		if !timeline.Known(name) || english == "" || turkish == "" || english == turkish {
			t.Errorf("%s has the texts %q and %q; give it both in pkg/timeline/texts.go", name, english, turkish)
			continue
		}
		for _, text := range []string{english, turkish} {
			if first := []rune(text)[0]; !unicode.IsUpper(first) || strings.TrimSpace(text) != text || strings.HasSuffix(text, ".") || strings.ContainsAny(text, "|\n") {
				t.Errorf("%s: %q is not written as the others are", name, text)
			}
			if other, twice := seen[text]; twice {
				t.Errorf("%s and %s are both %q", name, other, text)
			}
			seen[text] = name
		}
	}
	if n := timeline.Count(); n != len(names) {
		t.Errorf("%d event types have texts, there are %d", n, len(names))
	}
}

func TestTexts(t *testing.T) {
	for _, c := range [][3]string{
		{"ItemAddedToCart", "en", "Item added to cart"}, {"ItemAddedToCart", "tr", "Sepete ürün eklendi"}, {"ItemAddedToCart", "de", "Item added to cart"},
		{"SomethingNewHappened", "en", "Something new happened"}, {"SomethingNewHappened", "tr", "Something new happened"}, {"", "tr", ""},
	} {
		if got := timeline.Text(c[0], c[1]); got != c[2] {
			t.Errorf("%s is %q in %s, want %q", c[0], got, c[1], c[2])
		}
	}
}

func TestLanguage(t *testing.T) {
	for accept, want := range map[string]string{
		"": "en", "tr": "tr", "tr-TR": "tr", "TR": "tr", "tr-TR,tr;q=0.9,en-US;q=0.8,en;q=0.7": "tr", "en-GB,en;q=0.9,tr;q=0.8": "en", "de, tr;q=0.5": "tr",
		"en;q=0.5, tr;q=0.8": "tr", "tr;q=0": "en", "tr;q=0, en;q=0": "en", "*": "en", "de": "en", "tr;q=high": "en", "tr;q=7": "en", "tr;q=NaN": "en",
		"tr; q=0.3": "tr", "en,tr": "en", "tr,en": "tr", "trx": "en", ",,;q=,": "en", strings.Repeat("x,", 300) + "tr": "en",
	} {
		if got := timeline.Language(accept); got != want {
			t.Errorf("%.60q is answered in %s, want %s", accept, got, want)
		}
	}
}
