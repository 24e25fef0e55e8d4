// Command rudder sends one message of each type through github.com/rudderlabs/analytics-go/v4: rudder <host> <write key> <user> [more].
// More messages of the user follow, as many as it says; the client gives each an anonymous id of its own.
package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/rudderlabs/analytics-go/v4"
)

func main() {
	more := 0
	if len(os.Args) > 4 {
		more, _ = strconv.Atoi(os.Args[4]) // none, if it is no number
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], more); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(host, writeKey, user string, more int) error {
	outcome := make(outcomes, 10+more)
	client, err := analytics.NewWithConfig(writeKey, analytics.Config{DataPlaneUrl: host, Interval: 100 * time.Millisecond, Callback: outcome})
	if err != nil {
		return err
	}
	messages := []analytics.Message{
		analytics.Identify{UserId: user, Traits: analytics.NewTraits().SetFirstName("Ada").Set("plan", "gold")},
		// The names are those of the client's own helpers: orderId, and products with id and "sky".
		analytics.Track{UserId: user, Event: "Order Completed", Properties: analytics.NewProperties().
			SetOrderId("order-" + user).SetTotal(12.5).SetCurrency("EUR").SetProducts(analytics.Product{ID: "p1", SKU: "s1", Name: "Tea", Price: 12.5})},
		analytics.Page{UserId: user, Name: "Home", Properties: analytics.NewProperties().SetURL("https://shop.example.com/")},
		analytics.Screen{UserId: user, Name: "Start"},
		analytics.Group{UserId: user, GroupId: "acme", Traits: analytics.NewTraits().SetName("Acme")},
		analytics.Alias{UserId: user, PreviousId: "visitor-" + user},
		analytics.Track{UserId: user, Event: "Left"},
	}
	for range more {
		messages = append(messages, analytics.Track{UserId: user, Event: "Looked", Properties: analytics.NewProperties().SetURL("https://shop.example.com/tea")})
	}
	for _, m := range messages {
		if err := client.Enqueue(m); err != nil {
			return err
		}
	}
	// Close would drop what has to be sent again, so it waits for the outcomes first.
	for range messages {
		select {
		case err := <-outcome:
			if err != nil {
				return err
			}
		case <-time.After(30 * time.Second):
			return errors.New("not sent within 30 s")
		}
	}
	return client.Close()
}

// outcomes is the client's callback: nil for each message that arrived.
type outcomes chan error

func (o outcomes) Success(analytics.Message)              { o <- nil }
func (o outcomes) Failure(_ analytics.Message, err error) { o <- err }
