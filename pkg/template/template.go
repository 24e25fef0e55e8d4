// Package template holds the messages that ship with the system, and fills them in. A template has a subject, a plain
// text and an HTML part; in the latter every value is escaped for where it stands.
package template

import (
	"bytes"
	"embed"
	"fmt"
	htmltemplate "html/template"
	"io/fs"
	"strings"
	"sync"
	texttemplate "text/template"
	"unicode"

	"defter/pkg/fault"
)

//go:embed messages
var messages embed.FS

// Data is what a message may say.
type Data struct {
	FirstName  string
	CustomerID string
	Token      string // of the email verification, "" where there is nothing to verify
}

// Message is a filled-in message.
type Message struct {
	Subject, Text, HTML string
}

var layout = sync.OnceValues(func() (*htmltemplate.Template, error) {
	return htmltemplate.ParseFS(messages, "messages/layout.html")
})

// Render fills a template in. Its first line of text is the subject.
func Render(name string, data Data) (Message, error) {
	file := "messages/" + name + ".txt"
	if _, err := fs.Stat(messages, file); err != nil {
		return Message{}, fault.New(fault.Invalid, "unknown-template", "there is no template %s", name)
	}
	text, err := texttemplate.ParseFS(messages, file)
	if err != nil {
		return Message{}, fmt.Errorf("template %s: %w", name, err)
	}
	data.FirstName = oneLine(data.FirstName)
	var plain bytes.Buffer
	if err := text.ExecuteTemplate(&plain, name+".txt", data); err != nil {
		return Message{}, fmt.Errorf("fill in %s: %w", name, err)
	}
	subject, body, _ := strings.Cut(strings.TrimSpace(plain.String()), "\n")
	body = strings.TrimSpace(body)
	page, err := layout()
	if err != nil {
		return Message{}, fmt.Errorf("layout: %w", err)
	}
	var html bytes.Buffer
	if err := page.ExecuteTemplate(&html, "layout.html", map[string]any{"Subject": subject, "Paragraphs": strings.Split(body, "\n\n")}); err != nil {
		return Message{}, fmt.Errorf("lay out %s: %w", name, err)
	}
	return Message{subject, body, html.String()}, nil
}

// oneLine keeps a name from being more than a name: from ending the subject or adding paragraphs.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
}
