// Package saga is how something is done step by step with waits in between, which may take months and survives every
// restart: a state machine calls one function again and again until that says it is done. Three words: a run is one
// execution; its state is the function's answer, and the input of the next call; it waits until the time that it names.
package saga

import "encoding/json"

// Turn is what every run's state must have besides what is its own. It holds identifiers only, never anything personal.
type Turn struct {
	Until string `json:"until"` // RFC 3339: when the next step is due; the past for at once
	Done  bool   `json:"done"`
}

// Machine is the Amazon States Language definition that every run waits in: three states, because each transition is
// billed. step is the ARN of the function.
func Machine(step string) string {
	type m = map[string]any
	definition, err := json.Marshal(m{
		"Comment": "Calls a function step by step and waits between the steps",
		"StartAt": "RunStep",
		"States": m{
			"RunStep": m{
				"Type": "Task", "Resource": step, "TimeoutSeconds": 60, "Next": "Finished?",
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
