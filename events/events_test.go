package events_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"testing"

	"defter/events"
	"defter/pkg/catalog"
	"defter/pkg/consent"
	"defter/pkg/fault"
)

func read(t *testing.T, file string) []byte {
	t.Helper()
	raw, err := events.Files.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestB81_EveryVersionIsUnderstood: of each declared event type, every version there ever was has its schema and a sample
// that fits it, and the sample is read as an event of today that fits today's schema.
func TestB81_EveryVersionIsUnderstood(t *testing.T) {
	c := catalog.New()
	files := map[string]bool{}
	for _, name := range c.Names() {
		for version := 1; version <= c.Schema(name); version++ {
			base := fmt.Sprintf("%s/v%d", name, version)
			files[base+".schema.json"], files[base+".sample.json"] = true, true
			sample := read(t, base+".sample.json")
			if err := events.Validate(name, version, sample); err != nil {
				t.Errorf("%s: %v", base, err)
			}
			data, err := c.Decode(name, version, sample, nil)
			if err != nil {
				t.Errorf("%s: %v", base, err)
				continue
			}
			today, err := json.Marshal(data)
			if err != nil {
				t.Fatal(err)
			}
			if err := events.Validate(name, c.Schema(name), today); err != nil {
				t.Errorf("%s, as of today %s: %v", base, today, err)
			}
			if version == c.Schema(name) && !sameJSON(t, today, sample) {
				t.Errorf("%s came back as %s", base, today)
			}
		}
	}
	err := fs.WalkDir(events.Files, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !files[path] {
			t.Errorf("%s is of no declared version: events of it can no longer be read", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestB81_OldConsentHasItsLegalFrame: version 2 of ConsentGranted added it.
func TestB81_OldConsentHasItsLegalFrame(t *testing.T) {
	data, err := catalog.New().Decode("ConsentGranted", 1, read(t, "ConsentGranted/v1.sample.json"), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &consent.GDPRContext{LegalBasis: "consent", RetentionPeriod: "2years", DataController: "company-name"}
	if got := data.(consent.Granted).GDPRContext; !reflect.DeepEqual(got, want) {
		t.Errorf("legal frame %+v, want %+v", got, want)
	}
	if err := events.Validate("ConsentGranted", 1, read(t, "ConsentGranted/v2.sample.json")); err == nil {
		t.Error("version 1 had no legal frame, and its schema accepts one")
	}
}

// TestReleasedSchemasAreFrozen: each is what it was when it was released.
func TestReleasedSchemasAreFrozen(t *testing.T) {
	released, err := os.ReadFile("released.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range strings.Lines(string(released)) {
		want, file, ok := strings.Cut(strings.TrimSpace(line), "  ")
		file, inside := strings.CutPrefix(file, "events/")
		if !ok || !inside {
			t.Errorf("released.txt has the line %q", line)
			continue
		}
		raw, err := events.Files.ReadFile(file)
		if err != nil {
			t.Errorf("%s was released and is gone: %v", file, err)
			continue
		}
		if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s was changed after its release: make a new version, with an upcaster", file)
		}
		lines++
	}
	if lines == 0 {
		t.Error("no schema is frozen")
	}
}

// TestSchemasSayWhatIsPersonal: exactly the fields that are sealed.
func TestSchemasSayWhatIsPersonal(t *testing.T) {
	c := catalog.New()
	for _, name := range c.Names() {
		var schema struct {
			Properties map[string]struct {
				PII string `json:"x-pii"`
			}
			AdditionalProperties *bool
		}
		if err := json.Unmarshal(read(t, fmt.Sprintf("%s/v%d.schema.json", name, c.Schema(name))), &schema); err != nil {
			t.Fatal(err)
		}
		if schema.AdditionalProperties == nil || *schema.AdditionalProperties {
			t.Errorf("%s accepts fields that it does not name, and that nobody looked at", name)
		}
		data := c.Type(name)
		if data.NumField() != len(schema.Properties) {
			t.Errorf("%s has %d fields, its schema %d", name, data.NumField(), len(schema.Properties))
		}
		for i := range data.NumField() {
			field, _, _ := strings.Cut(data.Field(i).Tag.Get("json"), ",")
			if got, want := schema.Properties[field].PII, strings.TrimPrefix(data.Field(i).Tag.Get("pii"), "-"); got != want && (got != "" || want != "unless-opaque") {
				t.Errorf("%s.%s is %q in the schema, %q in the type", name, field, got, want)
			}
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	const secret = "ada@example.com"
	for what, c := range map[string]struct {
		name   string
		schema int
		data   string
		slug   string
	}{
		"a type nobody registered":   {"CustomerTeleported", 1, `{}`, "unregistered-event"},
		"a version nobody made":      {"CustomerCreated", 2, `{"source":"web"}`, "unregistered-event"},
		"a name that is a path":      {"../events/CustomerCreated", 1, `{"source":"web"}`, "unregistered-event"},
		"data that is no JSON":       {"CustomerCreated", 1, `{"source":`, "invalid-event"},
		"data that is no object":     {"CustomerCreated", 1, `["` + secret + `"]`, "invalid-event"},
		"a field that is missing":    {"CustomerCreated", 1, `{"email":"` + secret + `"}`, "invalid-event"},
		"a field that is not known":  {"CustomerCreated", 1, `{"source":"web","nick":"` + secret + `"}`, "invalid-event"},
		"a value of another type":    {"CustomerCreated", 1, `{"source":"web","email":["` + secret + `"]}`, "invalid-event"},
		"a value that is not listed": {"CustomerCreated", 1, `{"source":"` + secret + `"}`, "invalid-event"},
		"a value of another form":    {"PaymentSucceeded", 1, `{"orderId":"o1","amountMinor":1,"currency":"` + secret + `"}`, "invalid-event"},
		"a value that is too long":   {"CustomerCreated", 1, `{"source":"web","email":"` + strings.Repeat(secret, 20) + `"}`, "invalid-event"},
		"a nested field not known":   {"CustomerAddressUpdated", 1, `{"newAddress":{"planet":"` + secret + `"}}`, "invalid-event"},
	} {
		for range 2 { // the second time the schema is known
			err := events.Validate(c.name, c.schema, []byte(c.data))
			if err == nil || fault.SlugOf(err) != c.slug || fault.KindOf(err) != fault.Invalid {
				t.Errorf("%s: %v, want %s", what, err, c.slug)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error repeats what was given: %v", what, err)
			}
		}
	}
	if err := events.Validate("CustomerCreated", 1, []byte(`{"source":"web","email":"`+secret+`"}`)); err != nil {
		t.Errorf("an event that fits: %v", err)
	}
}

// TestValidateSaysWhere: the path and the rule, so that whoever sent it can mend it.
func TestValidateSaysWhere(t *testing.T) {
	err := events.Validate("CustomerAddressUpdated", 1, []byte(`{"newAddress":{"postalCode":"`+strings.Repeat("0", 21)+`"}}`))
	if want := "/newAddress/postalCode (maxLength)"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var inA, inB any
	if err := json.Unmarshal(a, &inA); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &inB); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(inA, inB)
}
