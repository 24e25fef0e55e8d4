// Package cloud runs the handlers on AWS: it reads the environment, makes the clients and starts the Lambda runtime. Each
// function names the parts it needs beyond the tables, so that no binary carries a client it never uses.
package cloud

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// Settings are what the deployment tells a function through its environment.
type Settings struct {
	EventsTable, ViewsTable, KeysTable string
	Bus, EmailQueue, Journeys          string
	MasterKey                          string
	APIKeySecret, WriteKeySecret       string
	EmailFrom, PublicURL               string
	WelcomeDelay                       time.Duration
}

// Environment reads the settings and reports everything wrong with them at once. What a function may not touch is not in
// its environment, and stays empty.
func Environment() (Settings, error) {
	s := Settings{
		EventsTable: os.Getenv("DEFTER_EVENTS_TABLE"), ViewsTable: os.Getenv("DEFTER_VIEWS_TABLE"), KeysTable: os.Getenv("DEFTER_KEYS_TABLE"),
		Bus: os.Getenv("DEFTER_BUS"), EmailQueue: os.Getenv("DEFTER_EMAIL_QUEUE"), Journeys: os.Getenv("DEFTER_JOURNEYS"),
		MasterKey: os.Getenv("DEFTER_MASTER_KEY"), APIKeySecret: os.Getenv("DEFTER_API_KEY_SECRET"), WriteKeySecret: os.Getenv("DEFTER_WRITE_KEY_SECRET"),
		EmailFrom: os.Getenv("DEFTER_EMAIL_FROM"), PublicURL: os.Getenv("DEFTER_PUBLIC_URL"),
	}
	var errs []error
	s.WelcomeDelay = 24 * time.Hour
	if raw := os.Getenv("DEFTER_WELCOME_DELAY"); raw != "" {
		delay, err := time.ParseDuration(raw)
		if err != nil || delay <= 0 {
			errs = append(errs, fmt.Errorf("DEFTER_WELCOME_DELAY is %q, must be a positive duration such as 24h", raw))
		}
		s.WelcomeDelay = delay
	}
	return s, errors.Join(errs...)
}
