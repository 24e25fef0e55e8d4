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

	"defter/pkg/fault"
)

//go:embed messages
var messages embed.FS

// Data is what a message may say.
type Data struct {
	FirstName  string
	CustomerID string
	PublicURL  string
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
	text, err := texttemplate.ParseFS(messages, "messages/"+name+".txt")
	if err != nil {
		if _, missing := fs.Stat(messages, "messages/"+name+".txt"); missing != nil {
			return Message{}, fault.New(fault.Invalid, "unknown-template", "there is no template %s", name)
		}
		return Message{}, fmt.Errorf("template %s: %w", name, err)
	}
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
