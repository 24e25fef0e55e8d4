package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"defter/pkg/app"
	"defter/pkg/cloud"
	"defter/pkg/eventstore/storetest/dynamotest"
	"defter/pkg/lambdaio"
	"defter/pkg/privacy"
	"defter/pkg/view"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

func TestMain(m *testing.M) { os.Exit(dynamotest.Keep(m)) }

// anyKey takes any API key.
type anyKey struct{}

func (anyKey) APIKey(context.Context, string) (string, bool, error) { return "test", true, nil }

// deployment is an app as a function on AWS makes it, from the environment alone. Only KMS and the API key's secret are this test's.
type deployment struct {
	*app.App
	t      *testing.T
	master privacy.Master
	client *dynamodb.Client
}

// function is another process of the deployment, whose keys are in a table.
func (d deployment) function(keys string) deployment {
	d.t.Helper()
	d.t.Setenv("DEFTER_KEYS_TABLE", keys)
	settings, err := cloud.Environment()
	if err != nil {
		d.t.Fatal(err)
	}
	amazon, err := cloud.Amazon()
	if err != nil {
		d.t.Fatal(err)
	}
	d.App = cloud.New(amazon, settings)
	d.Keyring = privacy.NewKeyring(d.client, keys, d.master, d.Now)
	d.Log.Vault, d.Access = d.Keyring, anyKey{}
	return d
}

func (d deployment) asks(handler lambdaio.Handler, route, id string, body any, status int) map[string]any {
	d.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		d.t.Fatal(err)
	}
	answer := handler.(lambdaio.Endpoint).Serve(d.t.Context(), lambdaio.Request{
		ID: "r", Route: route, Path: route, Params: map[string]string{"id": id}, Header: map[string]string{"authorization": "Bearer key"}, Body: text,
	})
	if answer.Status != status {
		d.t.Fatalf("%s answers %d, want %d: %v", route, answer.Status, status, answer.Body)
	}
	var shown map[string]any
	if text, err = written(answer.Body); err != nil {
		d.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &shown); err != nil {
		d.t.Fatal(err)
	}
	return shown
}

// written is an answer's body as JSON, which some answers have already.
func written(body any) ([]byte, error) {
	switch b := body.(type) {
	case []byte:
		return b, nil
	case string:
		return []byte(b), nil
	}
	return json.Marshal(body)
}

// readable says whether what is personal of a customer can be read.
func (d deployment) readable(id string) bool {
	d.t.Helper()
	events := 0
	for e, err := range d.Log.Events(d.t.Context(), view.CustomerStream(id), 1, 0) {
		if err != nil {
			d.t.Fatal(err)
		}
		if events++; e.Erased {
			return false
		}
	}
	return events > 0
}

// TestS5_ErasuresAreReappliedOnAWS: the command itself, as an operator calls it after a restore, through the AWS SDK to a DynamoDB that its
// environment names. Seventy customers were erased, whose notes are all over the journal; one was not.
func TestS5_ErasuresAreReappliedOnAWS(t *testing.T) {
	client := dynamotest.Client(t)
	keys, backup := dynamotest.Table(t, client), dynamotest.Table(t, client)
	for name, value := range map[string]string{
		"AWS_REGION": client.Options().Region, "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": *client.Options().BaseEndpoint, "AWS_CA_BUNDLE": "",
		"DEFTER_EVENTS_TABLE": dynamotest.Table(t, client), "DEFTER_VIEWS_TABLE": dynamotest.Table(t, client),
	} {
		t.Setenv(name, value)
	}
	master, err := privacy.OpenKeyFile(filepath.Join(t.TempDir(), "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	d := deployment{t: t, client: client, master: master}.function(keys)
	register := func(email string) string {
		body := map[string]any{"email": email, "firstName": "Ada", "termsAccepted": true}
		return d.asks(app.RegisterCustomer(d.App), "POST /v1/customers", "", body, 201)["customerId"].(string)
	}
	var erased []string
	for i := range 70 {
		erased = append(erased, register("ada"+string(rune('a'+i%26))+string(rune('a'+i/26))+"@mail.example"))
	}
	other := register("grace@mail.example")
	copied, err := client.Scan(t.Context(), &dynamodb.ScanInput{TableName: &keys})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range erased {
		d.asks(app.EraseCustomer(d.App), "POST /v1/customers/{id}/erasure", id, map[string]any{}, 200)
	}
	for _, item := range copied.Items {
		if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &backup, Item: item}); err != nil {
			t.Fatal(err)
		}
	}

	restored := d.function(backup)
	for _, id := range append(erased, other) {
		if !restored.readable(id) {
			t.Fatalf("the backup has no key of %s: this test shows nothing", id)
		}
	}
	for range 2 { // done again, it finds nothing to do
		if err := run(t.Context(), []string{"erasures", "reapply"}); err != nil {
			t.Fatal(err)
		}
	}
	again := d.function(backup)
	for _, id := range erased {
		if again.readable(id) {
			t.Errorf("%s can be read again", id)
		}
	}
	if !again.readable(other) {
		t.Error("who was not erased cannot be read")
	}
	if n, err := again.ReapplyErasures(t.Context()); err != nil || n != 0 {
		t.Errorf("%d more, %v", n, err)
	}
	if err := run(t.Context(), []string{"erasures"}); err == nil {
		t.Error("half of the command is taken")
	}
}
