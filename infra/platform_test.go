package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/jsii-runtime-go"

	"defter/pkg/topology"
)

var update = flag.Bool("update", false, "write the golden templates anew")

// assetHash is the name of a built function in a template: it changes with every build.
var assetHash = regexp.MustCompile(`[0-9a-f]{64}`)

func TestTemplatesAreGolden(t *testing.T) {
	for name, parsed := range raw(t, platform(t, nil)) {
		got, err := json.MarshalIndent(parsed, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		got = append(assetHash.ReplaceAll(got, []byte("ASSET")), '\n')
		path := filepath.Join("testdata", name+".golden.json")
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if line, a, b := firstDifference(string(want), string(got)); line > 0 {
			t.Errorf("%s, line %d:\n want %s\n  got %s\nif that is meant: go test ./infra -run Golden -update", path, line, a, b)
		}
	}
}

// raw is every template as it is, with everything in it.
func raw(t *testing.T, p *Platform) map[string]any {
	t.Helper()
	out := *p.app.Synth(nil).Directory()
	all := map[string]any{}
	for _, stack := range p.stacks {
		text, err := os.ReadFile(filepath.Join(out, *stack.TemplateFile()))
		if err != nil {
			t.Fatal(err)
		}
		var parsed any
		if err := json.Unmarshal(text, &parsed); err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(*stack.StackName(), p.Name(""))] = parsed
	}
	return all
}

func firstDifference(a, b string) (line int, inA, inB string) {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range max(len(as), len(bs)) {
		inA, inB = "(end)", "(end)"
		if i < len(as) {
			inA = as[i]
		}
		if i < len(bs) {
			inB = bs[i]
		}
		if inA != inB {
			return i + 1, inA, inB
		}
	}
	return 0, "", ""
}

func TestNoFindingWithoutAWrittenReason(t *testing.T) {
	p := platform(t, nil)
	p.app.Synth(nil)
	finding := assertions.Match_StringLikeRegexp(jsii.String(`AwsSolutions-.*`))
	for _, stack := range p.stacks {
		annotations := assertions.Annotations_FromStack(stack)
		for _, found := range append(*annotations.FindError(jsii.String("*"), finding), *annotations.FindWarning(jsii.String("*"), finding)...) {
			t.Errorf("%s: %s", *found.Id, found.Entry.Data)
		}
	}
}

// TestEveryRowMayDoWhatItSaysAndNoMore reads each role back from the templates: the row's access, its own log and its
// trigger, on exactly those resources.
func TestEveryRowMayDoWhatItSaysAndNoMore(t *testing.T) {
	p := platform(t, nil)
	all := synth(t, p)
	names := map[string][]string{
		topology.Bus:           {p.Name(topology.Bus)},
		topology.Journeys:      {p.Name(topology.Journeys)},
		topology.Payments:      {p.Name(topology.Payments)},
		topology.Erasures:      {p.Name(topology.Erasures)},
		topology.PaymentKey:    {p.Name(topology.PaymentKey)},
		topology.MasterKey:     {"AWS::KMS::Key"},
		topology.APIKeySecret:  {p.Name("api-key")},
		topology.EmailIdentity: {":identity/example.com"},
		topology.Archive:       {"AWS::S3::Bucket/behaviour/*"},
	}
	for _, table := range topology.Tables {
		names[table.Name] = []string{p.Name(table.Name)}
	}
	for _, queue := range topology.Queues {
		names[queue.Name] = []string{p.Name(queue.Name)}
	}

	for _, row := range topology.Functions {
		stack, function := find(t, all, row, p)
		var want []string
		grant := func(resource string, actions ...string) { // a resource may be followed by the keys that it is bound to
			for _, action := range actions {
				want = append(want, action+" on "+resource)
			}
		}
		grant("/aws/lambda/"+p.Name(row.Name), "logs:CreateLogStream", "logs:PutLogEvents")
		for _, access := range row.Access {
			for _, resource := range names[access.Resource] {
				grant(strings.TrimSpace(resource+" "+strings.Join(access.Keys, " ")), access.Actions...)
			}
			if len(names[access.Resource]) == 0 {
				t.Errorf("%s: no resource %q", row.Name, access.Resource)
			}
		}
		if row.Stream != nil {
			grant(p.Name(row.Stream.Table), "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator")
			grant(p.Name(row.Stream.Table)+"/stream/*", "dynamodb:ListStreams")
		}
		if row.Queue != nil {
			grant(p.Name(row.Queue.Queue), "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
		}
		if row.Stream != nil || row.Bus != nil || row.Schedule != nil {
			grant(p.deadLettersOf(row.Name), "sqs:SendMessage")
		}
		slices.Sort(want)
		if got := allowed(t, all, stack, function); !slices.Equal(got, want) {
			t.Errorf("%s may\n  %s\nwant\n  %s", row.Name, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}

		got := function.Properties
		if got["Timeout"] != float64(row.TimeoutSeconds) || got["MemorySize"] != float64(row.MemoryMB) {
			t.Errorf("%s: timeout %v, memory %v", row.Name, got["Timeout"], got["MemorySize"])
		}
		if reserved := got["ReservedConcurrentExecutions"]; reserved != nil {
			t.Errorf("%s: reserved concurrency %v, which nobody asked for", row.Name, reserved)
		}
	}
	functions := 0
	all.of("AWS::Lambda::Function", func(string, *node) { functions++ })
	if functions != len(topology.Functions) {
		t.Errorf("%d functions in the templates, %d rows in the table", functions, len(topology.Functions))
	}
	all.of("AWS::IAM::Policy", func(stack string, n *node) {
		if !strings.Contains(n.Properties["PolicyName"].(string), "MachineRoleDefaultPolicy") {
			t.Errorf("%s: policy %v beside the roles' own", stack, n.Properties["PolicyName"])
		}
	})
}

// find returns a row's function and the stack it is in.
func find(t *testing.T, all synthesised, row topology.Function, p *Platform) (stack string, function *node) {
	t.Helper()
	all.of("AWS::Lambda::Function", func(in string, n *node) {
		if n.Properties["FunctionName"] == p.Name(row.Name) {
			stack, function = in, n
		}
	})
	if function == nil {
		t.Fatalf("no function %s", row.Name)
	}
	return stack, function
}

// allowed lists "action on resource" for everything a function's role may do.
func allowed(t *testing.T, all synthesised, stack string, function *node) []string {
	t.Helper()
	role := all.resolve(stack, function.Properties["Role"])
	if role.Properties["ManagedPolicyArns"] != nil {
		t.Errorf("%v has a policy of AWS's making", role.Properties["Description"])
	}
	var grants []string
	for _, policy := range role.Properties["Policies"].([]any) {
		document := policy.(map[string]any)["PolicyDocument"].(map[string]any)
		for _, s := range document["Statement"].([]any) {
			statement := s.(map[string]any)
			keys := ""
			if condition, ok := statement["Condition"].(map[string]any); ok {
				for _, key := range list(condition["ForAllValues:StringLike"].(map[string]any)["dynamodb:LeadingKeys"]) {
					keys += " " + key.(string)
				}
			}
			for _, action := range list(statement["Action"]) {
				for _, resource := range list(statement["Resource"]) {
					grants = append(grants, fmt.Sprintf("%s on %s%s", action, physicalName(all, stack, resource), keys))
				}
			}
		}
	}
	slices.Sort(grants)
	return grants
}

func list(value any) []any {
	if many, ok := value.([]any); ok {
		return many
	}
	return []any{value}
}

// physicalName names what a statement is about as a person would: by its name, and whatever follows the ARN.
func physicalName(all synthesised, stack string, resource any) string {
	if n := all.resolve(stack, resource); n != nil {
		for _, property := range []string{"TableName", "QueueName", "StateMachineName", "LogGroupName", "Name"} {
			if name, ok := n.Properties[property].(string); ok {
				return name
			}
		}
		return n.Type
	}
	if join, ok := resource.(map[string]any)["Fn::Join"].([]any); ok {
		parts := join[1].([]any)
		last := parts[len(parts)-1].(string)
		if len(parts) == 2 {
			return physicalName(all, stack, parts[0]) + last
		}
		return last
	}
	return fmt.Sprint(resource)
}

func TestEveryRowIsTriggered(t *testing.T) {
	p := platform(t, nil)
	all := synth(t, p)
	triggers := map[string][]string{} // by function
	record := func(stack string, function any, trigger string) {
		n := all.resolve(stack, function)
		if n == nil {
			t.Fatalf("%s: nothing at %v", trigger, function)
		}
		name := strings.TrimPrefix(n.Properties["FunctionName"].(string), p.Name(""))
		triggers[name] = append(triggers[name], trigger)
	}
	all.of("AWS::ApiGatewayV2::Route", func(stack string, n *node) {
		target := n.Properties["Target"].(map[string]any)["Fn::Join"].([]any)[1].([]any)[1]
		record(stack, all.resolve(stack, target).Properties["IntegrationUri"], n.Properties["RouteKey"].(string))
	})
	all.of("AWS::Lambda::EventSourceMapping", func(stack string, n *node) {
		batch := fmt.Sprintf(" by %v", n.Properties["BatchSize"])
		record(stack, n.Properties["FunctionName"], physicalName(all, stack, n.Properties["EventSourceArn"])+batch)
		if !slices.Equal(list(n.Properties["FunctionResponseTypes"]), []any{"ReportBatchItemFailures"}) {
			t.Errorf("%v: one bad message repeats its whole batch", n.Properties["FunctionName"])
		}
	})
	all.of("AWS::Events::Rule", func(stack string, n *node) {
		trigger := n.Properties["ScheduleExpression"]
		if pattern, ok := n.Properties["EventPattern"].(map[string]any); ok {
			trigger = fmt.Sprint(pattern["source"], pattern["detail-type"])
		}
		for _, target := range n.Properties["Targets"].([]any) {
			target := target.(map[string]any)
			record(stack, target["Arn"], fmt.Sprint(trigger))
			if target["DeadLetterConfig"] == nil {
				t.Errorf("%v: what cannot be delivered is lost", n.Properties["Name"])
			}
		}
	})
	all.of("AWS::StepFunctions::StateMachine", func(stack string, n *node) {
		definition := n.Properties["DefinitionString"].(map[string]any)["Fn::Join"].([]any)[1].([]any)
		record(stack, definition[1], "a journey's step")
	})

	for _, row := range topology.Functions {
		var want []string
		for _, route := range row.Routes {
			want = append(want, route.Method+" "+route.Path)
		}
		switch {
		case row.Stream != nil:
			want = append(want, fmt.Sprintf("%s by %d", p.Name(row.Stream.Table), row.Stream.BatchSize))
		case row.Queue != nil:
			want = append(want, fmt.Sprintf("%s by %d", p.Name(row.Queue.Queue), row.Queue.BatchSize))
		case row.Bus != nil:
			want = append(want, fmt.Sprintf("[%s] %v", topology.BusSource, row.Bus.Types))
		case row.Schedule != nil:
			want = append(want, "rate("+rate(row.Schedule.EveryMinutes)+")")
		case row.Task:
			want = append(want, "a journey's step")
		}
		got := triggers[row.Name]
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s is called by %q, want %q", row.Name, got, want)
		}
	}
}

// rate is how CloudFormation writes an interval.
func rate(minutes int) string {
	switch {
	case minutes == 24*60:
		return "1 day"
	case minutes%60 == 0 && minutes > 60:
		return fmt.Sprintf("%d hours", minutes/60)
	case minutes == 60:
		return "1 hour"
	case minutes == 1:
		return "1 minute"
	}
	return fmt.Sprintf("%d minutes", minutes)
}

func TestOnlyCommitsPassTheStream(t *testing.T) {
	all := synth(t, platform(t, nil))
	all.of("AWS::Lambda::EventSourceMapping", func(_ string, n *node) {
		if n.Properties["StartingPosition"] == nil {
			return // a queue
		}
		filters := n.Properties["FilterCriteria"].(map[string]any)["Filters"].([]any)
		want := `{"dynamodb":{"Keys":{"sk":{"S":[{"prefix":"E#"}]}}},"eventName":["INSERT"]}`
		if len(filters) != 1 || filters[0].(map[string]any)["Pattern"] != want {
			t.Errorf("filters %v, want %s", filters, want)
		}
	})
}

func TestDataOutlivesItsStackUnlessItIsATests(t *testing.T) {
	for ephemeral, policy := range map[string]string{"false": "Retain", "true": "Delete"} {
		all := synth(t, platform(t, map[string]any{"ephemeral": ephemeral}))
		for _, kind := range []string{"AWS::DynamoDB::Table", "AWS::KMS::Key", "AWS::SecretsManager::Secret", "AWS::S3::Bucket"} {
			found := 0
			all.of(kind, func(_ string, n *node) {
				found++
				if n.DeletionPolicy != policy {
					t.Errorf("ephemeral %s: %s has deletion policy %s", ephemeral, kind, n.DeletionPolicy)
				}
				if kind == "AWS::DynamoDB::Table" && n.Properties["DeletionProtectionEnabled"] != (ephemeral == "false") {
					t.Errorf("ephemeral %s: deletion protection %v", ephemeral, n.Properties["DeletionProtectionEnabled"])
				}
			})
			if found == 0 {
				t.Errorf("no %s", kind)
			}
		}
	}
}

func TestEveryDeadLetterRaisesAnAlarm(t *testing.T) {
	all := synth(t, platform(t, nil))
	watched := map[string]bool{}
	all.of("AWS::CloudWatch::Alarm", func(_ string, n *node) {
		if dimensions, ok := n.Properties["Dimensions"].([]any); ok {
			if name, ok := dimensions[0].(map[string]any)["Value"].(string); ok {
				watched[name] = true
			}
		}
		if len(list(n.Properties["AlarmActions"])) == 0 {
			t.Errorf("%v tells nobody", n.Properties["AlarmName"])
		}
	})
	all.of("AWS::SQS::Queue", func(_ string, n *node) {
		if n.Properties["RedrivePolicy"] == nil && !watched[n.Properties["QueueName"].(string)] {
			t.Errorf("nobody watches %v", n.Properties["QueueName"])
		}
	})
}

func TestLogsHoldNothingPersonal(t *testing.T) {
	format := accessLogFormat()
	for _, variable := range []string{"path", "Path", "sourceIp", "userAgent", "queryString", "authorizer", "rrorMessage"} {
		if strings.Contains(format, variable) {
			t.Errorf("the access log tells $context.%s: %s", variable, format)
		}
	}
}

// TestS12_AFloodOfMessagesLeavesRoom: intake cannot use up the account's concurrency, nor one kind of route the others' rate.
func TestS12_AFloodOfMessagesLeavesRoom(t *testing.T) {
	p := platform(t, map[string]any{"reserveConcurrency": "true"})
	all := synth(t, p)
	reserved := 0
	for _, row := range topology.Functions {
		_, function := find(t, all, row, p)
		got, _ := function.Properties["ReservedConcurrentExecutions"].(float64)
		if int(got) != row.Concurrency {
			t.Errorf("%s: reserved concurrency %v, want %d", row.Name, got, row.Concurrency)
		}
		reserved += row.Concurrency
	}
	if reserved == 0 || reserved > 900 { // an account has 1,000, of which 100 stay
		t.Errorf("%d are reserved", reserved)
	}
	all.of("AWS::ApiGatewayV2::Stage", func(_ string, n *node) {
		settings, _ := n.Properties["RouteSettings"].(map[string]any)
		for _, row := range topology.Functions {
			for _, route := range row.Routes {
				if s, ok := settings[route.Method+" "+route.Path].(map[string]any); !ok || s["ThrottlingRateLimit"].(float64) >= requestsPerSecond {
					t.Errorf("%s %s is throttled as %v", route.Method, route.Path, settings[route.Method+" "+route.Path])
				}
			}
		}
	})
}

// TestS4_AWebACLStandsBeforeTheAPI where the deployment names one, and cannot be gone around.
func TestS4_AWebACLStandsBeforeTheAPI(t *testing.T) {
	const acl = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/rates/01234567-89ab-cdef-0123-456789abcdef"
	p := platform(t, map[string]any{"webAcl": acl})
	all := synth(t, p)
	var key any
	all.of("AWS::CloudFront::Distribution", func(_ string, n *node) {
		config := n.Properties["DistributionConfig"].(map[string]any)
		header := list(list(config["Origins"])[0].(map[string]any)["OriginCustomHeaders"])[0].(map[string]any)
		if key = header["HeaderValue"]; config["WebACLId"] != acl || header["HeaderName"] != "x-defter-edge" || key == nil {
			t.Errorf("the distribution is %v", config)
		}
	})
	if key == nil {
		t.Fatal("there is no distribution")
	}
	all.of("AWS::CloudFront::Function", func(_ string, n *node) {
		for _, told := range []string{`headers['x-defter-viewer'] = { value: event.viewer.ip }`, `headers['x-defter-host'] = { value: event.request.headers.host.value }`} {
			if code := fmt.Sprint(n.Properties["FunctionCode"]); !strings.Contains(code, told) {
				t.Errorf("what CloudFront tells the API lacks %s: %s", told, code)
			}
		}
	})
	for _, row := range topology.Functions {
		_, function := find(t, all, row, p)
		has := fmt.Sprint(function.Properties["Environment"].(map[string]any)["Variables"].(map[string]any)["DEFTER_EDGE_KEY"])
		if want := fmt.Sprint(key); len(row.Routes) > 0 && has != want || len(row.Routes) == 0 && has != "<nil>" {
			t.Errorf("%s knows the key %v, want %v", row.Name, has, want)
		}
	}
	if _, there := synth(t, platform(t, nil))["edge"]; there {
		t.Error("there is a distribution that nobody asked for")
	}
}
