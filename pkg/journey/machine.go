package journey

import "encoding/json"

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

// Machine is the Amazon States Language definition that every journey run waits in: three states, because each
// transition is billed. runStep is the ARN of the run-journey-step function.
func Machine(runStep string) string {
	type m = map[string]any
	definition, err := json.Marshal(m{
		"Comment": "Runs a journey step by step and waits between the steps",
		"StartAt": "RunStep",
		"States": m{
			"RunStep": m{
				"Type": "Task", "Resource": runStep, "TimeoutSeconds": 60, "Next": "Finished?",
				"Retry": []m{{
					"ErrorEquals": []string{
						"Busy", "Internal", "Conflict", // what fault.Retryable says
						"Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.TooManyRequestsException", "Lambda.SdkClientException", "States.Timeout",
					},
					"IntervalSeconds": 2, "MaxAttempts": 8, "BackoffRate": 2, "MaxDelaySeconds": 300,
				}},
			},
			"Finished?": m{
				"Type":    "Choice",
				"Choices": []m{{"Variable": "$.done", "BooleanEquals": true, "Next": "Done"}},
				"Default": "Wait",
			},
			"Wait": m{"Type": "Wait", "TimestampPath": "$.until", "Next": "RunStep"},
			"Done": m{"Type": "Succeed"},
		},
	})
	if err != nil {
		panic(err) // maps of strings and numbers always marshal
	}
	return string(definition)
}
