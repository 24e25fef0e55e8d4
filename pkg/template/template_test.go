package template_test

import (
	"io/fs"
	"os"
	"strings"
	"testing"

	"defter/pkg/fault"
	"defter/pkg/template"
)

// names are the templates that ship.
func names(t *testing.T) []string {
	t.Helper()
	files, err := fs.Glob(os.DirFS("messages"), "*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d templates, %v", len(files), err)
	}
	for i, file := range files {
		files[i] = strings.TrimSuffix(file, ".txt")
	}
	return files
}

// TestEveryTemplateCanBeFilledIn, with everything and with nothing known of the customer.
func TestEveryTemplateCanBeFilledIn(t *testing.T) {
	for _, name := range names(t) {
		for _, data := range []template.Data{{}, {FirstName: "Ada", CustomerID: "c1", Token: "the-token"}} {
			m, err := template.Render(name, data)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if m.Subject == "" || strings.ContainsAny(m.Subject, "\r\n") || m.Text == "" || strings.Contains(m.Text, m.Subject+"\n") {
				t.Errorf("%s has the subject %q and the text %q", name, m.Subject, m.Text)
			}
			for _, part := range []string{m.Subject, m.Text, m.HTML} {
				if strings.Contains(part, "{{") || strings.Contains(part, "<no value>") {
					t.Errorf("%s is not filled in: %s", name, part)
				}
			}
			if !strings.Contains(m.HTML, "<title>"+m.Subject+"</title>") || strings.Count(m.HTML, "<p ") != 1+strings.Count(m.Text, "\n\n") {
				t.Errorf("%s is laid out as %s", name, m.HTML)
			}
			if told := strings.Contains(m.Text, "Ada") || strings.Contains(m.Subject, "Ada"); told != (data.FirstName != "") {
				t.Errorf("%s calls %q by name: %v", name, data.FirstName, told)
			}
			if told := strings.Contains(m.Text, "the-token") && strings.Contains(m.HTML, "the-token"); told != (data.Token != "") {
				t.Errorf("%s tells the token %q: %v", name, data.Token, told)
			}
		}
	}
}

// TestValuesAreEscaped in HTML, and stay as they are in plain text.
func TestValuesAreEscaped(t *testing.T) {
	const name = `<script>alert("1")</script>&'`
	for _, m := range render(t, template.Data{FirstName: name}) {
		if strings.Contains(m.HTML, "<script") || !strings.Contains(m.HTML, "&lt;script&gt;alert(") {
			t.Errorf("laid out as %s", m.HTML)
		}
		if !strings.Contains(m.Subject+m.Text, name) {
			t.Errorf("in plain text: %s, %s", m.Subject, m.Text)
		}
	}
	for _, m := range render(t, template.Data{FirstName: `{{.Token}}`, Token: "the-token"}) {
		if strings.Count(m.Text, "the-token") != 1 || !strings.Contains(m.Subject+m.Text, "{{.Token}}") {
			t.Errorf("a name is taken for a template: %s", m.Text)
		}
	}
}

// TestANameIsOneLine: it can neither end the subject, which would begin a header, nor add to the text.
func TestANameIsOneLine(t *testing.T) {
	plain := render(t, template.Data{FirstName: "Ada Bcc: eve@example.com Pay here"})
	for i, got := range render(t, template.Data{FirstName: "\r\nAda\r\nBcc: eve@example.com\n\n\u2028\x00\tPay here\n"}) {
		if got != plain[i] {
			t.Errorf("filled in as %+v, want %+v", got, plain[i])
		}
	}
}

func render(t *testing.T, data template.Data) []template.Message {
	t.Helper()
	var all []template.Message
	for _, name := range names(t) {
		m, err := template.Render(name, data)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// TestUnknownTemplates are refused, so that whoever asked does not ask again.
func TestUnknownTemplates(t *testing.T) {
	for _, name := range []string{"", "farewell", "layout", "layout.html", "*", "[", "welcome*", "../messages/welcome", "../template", "/welcome", "welcome.txt"} {
		if m, err := template.Render(name, template.Data{}); fault.SlugOf(err) != "unknown-template" || fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q is %+v, %v", name, m, err)
		}
	}
}
