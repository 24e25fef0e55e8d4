package journey

// RunState is what travels through the state machine: the input of one run and, after each step, when to come back.
// It holds identifiers only, never anything personal.
type RunState struct {
	CustomerID  string `json:"customerId"`
	Journey     string `json:"journey"`
	Version     int    `json:"version"`       // of the journey's definition, so that a run ends as it began
	RunID       string `json:"runId"`         // the id of the event that triggered the run
	Correlation string `json:"correlationId"` // of that event
	Step        int    `json:"step"`          // the next step, from 0
	Until       string `json:"until"`         // RFC 3339: when the next step is due; the past for at once
	Done        bool   `json:"done"`
}
