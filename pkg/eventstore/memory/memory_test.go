package memory_test

import (
	"testing"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/eventstore/memory"
	"defter/pkg/eventstore/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(_ *testing.T, now func() time.Time) eventstore.Store { return memory.New(now) })
}
