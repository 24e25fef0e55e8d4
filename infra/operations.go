package main

import (
	"strconv"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsbudgets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatchactions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssnssubscriptions"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"defter/pkg/metric"
	"defter/pkg/topology"
)

// newOperations makes what keeps the system running while nobody looks: the schedules, the alarms and the dashboard.
// It names functions and queues instead of referring to them, so that changing one never waits for this stack.
func newOperations(p *Platform, api *api, journeys *journeys) {
	stack := p.newStack("operations", "Defter: schedules, alarms and the dashboard")
	for _, row := range functions(func(f topology.Function) bool { return f.Schedule != nil }) {
		newSchedule(stack, p, row)
	}
	w := &watch{Platform: p, api: api, journeys: journeys}
	newAlarms(stack, w)
	newDashboard(stack, w)
	newBudget(stack, p)
}

// newBudget tells alarmEmail when a month becomes dearer than expected: whatever got past the throttles shows there.
func newBudget(stack awscdk.Stack, p *Platform) {
	if p.MonthlyBudget == "" || p.AlarmEmail == "" {
		return
	}
	subscribers := []any{map[string]any{"subscriptionType": "EMAIL", "address": p.AlarmEmail}}
	notify := func(kind string, percent float64) map[string]any {
		return map[string]any{
			"notification": map[string]any{"notificationType": kind, "comparisonOperator": "GREATER_THAN", "threshold": percent, "thresholdType": "PERCENTAGE"},
			"subscribers":  subscribers,
		}
	}
	amount, _ := strconv.ParseFloat(p.MonthlyBudget, 64) // LoadSettings has looked at it
	awsbudgets.NewCfnBudget(stack, jsii.String("Budget"), &awsbudgets.CfnBudgetProps{
		Budget: map[string]any{
			"budgetName": p.Name("monthly"), "budgetType": "COST", "timeUnit": "MONTHLY", "budgetLimit": map[string]any{"amount": amount, "unit": "USD"},
		},
		NotificationsWithSubscribers: []any{notify("ACTUAL", 80), notify("FORECASTED", 100)},
	})
}

// newSchedule calls a function every so many minutes.
func newSchedule(stack awscdk.Stack, p *Platform, row topology.Function) {
	awsevents.NewRule(stack, jsii.String(pascal(row.Name)+"Schedule"), &awsevents.RuleProps{
		RuleName:    jsii.String(p.Name(row.Name)),
		Description: jsii.String(row.Summary),
		Schedule:    awsevents.Schedule_Rate(awscdk.Duration_Minutes(jsii.Number(row.Schedule.EveryMinutes))),
		Targets:     &[]awsevents.IRuleTarget{newTarget(stack, p, row, map[string]*string{"DEFTER_CART_IDLE": jsii.String(p.CartIdle)})},
	})
}

// newAlarms tells the alarm topic of everything that does not heal by itself. Each alarm is on a level, not on single
// events, and says when it is over.
func newAlarms(stack awscdk.Stack, w *watch) {
	scope := constructs.NewConstruct(stack, jsii.String("Alarms"))
	topic := newAlarmTopic(scope, w.Platform)
	action := awscloudwatchactions.NewSnsAction(topic)
	alarm := func(name, description string, metric awscloudwatch.IMetric, above float64, periods int) {
		alarm := awscloudwatch.NewAlarm(scope, jsii.String(pascal(name)), &awscloudwatch.AlarmProps{
			AlarmName:          jsii.String(w.Name(name)),
			AlarmDescription:   jsii.String(description),
			Metric:             metric,
			Threshold:          jsii.Number(above),
			ComparisonOperator: awscloudwatch.ComparisonOperator_GREATER_THAN_THRESHOLD,
			EvaluationPeriods:  jsii.Number(periods),
			TreatMissingData:   awscloudwatch.TreatMissingData_NOT_BREACHING,
		})
		alarm.AddAlarmAction(action)
		alarm.AddOkAction(action)
	}

	for _, name := range w.deadLetters() {
		alarm(name+"-dead-letters", "Something of "+name+" could not be handled: look at it, then send it again or delete it.", w.depth(name+"-dead-letters"), 0, 1)
	}
	for _, row := range functions(func(f topology.Function) bool { return f.Stream != nil }) {
		alarm(row.Name+"-behind", row.Name+" is more than a minute behind the event store.", w.iteratorAge(row.Name), 60_000, 3)
	}
	alarm("api-failing", "The API answers with 5xx: its functions fail, run out of time or are throttled.", w.ofAPI("5xx", "Sum"), 5, 2)

	alarm("functions-failing", "Functions of this account keep failing: the dashboard shows which.", w.ofAllFunctions("Errors"), 5, 3)
	alarm("functions-throttled", "Functions of this account keep being throttled: it runs at its limit of concurrent calls.", w.ofAllFunctions("Throttles"), 0, 3)
	for _, row := range topology.Machines {
		alarm(row.Name+"-failed", row.Summary+" ended in an error: nothing more comes of them until they are begun again.", w.ofMachine(row.Name, "ExecutionsFailed"), 0, 1)
		alarm(row.Name+"-timed-out", row.Summary+" ran out of time.", w.ofMachine(row.Name, "ExecutionsTimedOut"), 0, 1)
	}
	alarm("records-quarantined", "Stored records could not be read: their customers' views stand still until that is mended.", newMetric(metric.Namespace, metric.RecordsQuarantined, "Sum", nil), 0, 1)
	alarm("events-quarantined", "Many messages cannot be taken in: a client sends what is not understood, or somebody sends junk (GET /v1/quarantine).", newMetric(metric.Namespace, metric.EventsQuarantined, "Sum", nil), 100, 2)
	alarm("budgets-spent", "Public write keys send more than they may: a campaign that goes well, or somebody who wishes you ill.", newMetric(metric.Namespace, metric.BudgetsSpent, "Sum", nil), 100, 3)
	alarm("snapshots-lost", "States could not be kept or read: loads get dearer.", newMetric(metric.Namespace, metric.SnapshotsLost, "Sum", nil), 0, 3)
	alarm("erasures-held-up", "Erasures cannot go on: they are tried again, and the law's time runs; GET …/erasure says in which system.", newMetric(metric.Namespace, metric.ErasuresHeldUp, "Sum", nil), 0, 3)
	alarm("events-parked", "Reactions gave events up that will never succeed: the log says which and why.", newMetric(metric.Namespace, metric.EventsParked, "Sum", nil), 0, 1)
}

// newAlarmTopic makes the topic and tells alarmEmail, if there is one.
func newAlarmTopic(scope constructs.Construct, p *Platform) awssns.Topic {
	key := awskms.NewKey(scope, jsii.String("Key"), &awskms.KeyProps{
		Alias:             jsii.String("alias/" + p.Name("alarms")),
		Description:       jsii.String("Defter: encrypts what alarms say"),
		EnableKeyRotation: jsii.Bool(true),
		RemovalPolicy:     p.removalPolicy(),
	})
	// SNS's own key would not do: CloudWatch may not use it.
	key.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("cloudwatch.amazonaws.com"), nil)},
		Actions:    jsii.Strings("kms:Decrypt", "kms:GenerateDataKey*"), Resources: jsii.Strings("*"),
	}), nil)
	topic := awssns.NewTopic(scope, jsii.String("Topic"), &awssns.TopicProps{
		TopicName: jsii.String(p.Name("alarms")), EnforceSSL: jsii.Bool(true), MasterKey: key,
	})
	if p.AlarmEmail != "" {
		topic.AddSubscription(awssnssubscriptions.NewEmailSubscription(jsii.String(p.AlarmEmail), nil))
	}
	return topic
}

// newDashboard shows the way of an event from left to right and top to bottom: in, on, and out.
func newDashboard(stack awscdk.Stack, w *watch) {
	graph := func(title string, metrics ...awscloudwatch.IMetric) awscloudwatch.IWidget {
		return awscloudwatch.NewGraphWidget(&awscloudwatch.GraphWidgetProps{
			Title: jsii.String(title), Left: &metrics, Width: jsii.Number(8), Height: jsii.Number(6),
		})
	}
	var ages, depths []awscloudwatch.IMetric
	for _, row := range functions(func(f topology.Function) bool { return f.Stream != nil }) {
		ages = append(ages, w.iteratorAge(row.Name))
	}
	for _, name := range w.deadLetters() {
		depths = append(depths, w.depth(name+"-dead-letters"))
	}
	var waiting []awscloudwatch.IMetric
	for _, queue := range topology.Queues {
		waiting = append(waiting, w.depth(queue.Name))
	}
	var errors []awscloudwatch.IMetric
	for _, row := range functions(func(f topology.Function) bool { return len(f.Routes) == 0 }) {
		errors = append(errors, w.ofFunction("Errors", row.Name))
	}
	var runs []awscloudwatch.IMetric
	for _, row := range topology.Machines {
		runs = append(runs, w.ofMachine(row.Name, "ExecutionsStarted"), w.ofMachine(row.Name, "ExecutionsSucceeded"), w.ofMachine(row.Name, "ExecutionsFailed"))
	}
	awscloudwatch.NewDashboard(stack, jsii.String("Dashboard"), &awscloudwatch.DashboardProps{
		DashboardName: jsii.String(w.Name("overview")),
		Widgets: &[]*[]awscloudwatch.IWidget{
			{
				graph("Requests", w.ofAPI("Count", "Sum"), w.ofAPI("4xx", "Sum"), w.ofAPI("5xx", "Sum")),
				graph("Latency", w.ofAPI("Latency", "p50"), w.ofAPI("Latency", "p99")),
				graph("Behind the event store (ms)", ages...),
			},
			{
				graph("Errors in the background", errors...),
				graph("Journeys and payments", runs...),
				graph("Messages waiting", waiting...),
			},
			{graph("Dead letters", depths...)},
		},
	})
}

// watch knows the metrics of everything that runs, by name.
type watch struct {
	*Platform
	api      *api
	journeys *journeys
}

// deadLetters names whatever has a dead-letter queue: every queue, and every function that no one waits for.
func (w *watch) deadLetters() []string {
	var names []string
	for _, row := range functions(func(f topology.Function) bool { return f.Stream != nil || f.Bus != nil || f.Schedule != nil }) {
		names = append(names, row.Name)
	}
	for _, row := range topology.Queues {
		names = append(names, row.Name)
	}
	return names
}

func (w *watch) depth(queue string) awscloudwatch.IMetric {
	return newMetric("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", map[string]*string{"QueueName": jsii.String(w.Name(queue))})
}

func (w *watch) iteratorAge(function string) awscloudwatch.IMetric {
	return newMetric("AWS/Lambda", "IteratorAge", "Maximum", map[string]*string{"FunctionName": jsii.String(w.Name(function))})
}

func (w *watch) ofFunction(metric, function string) awscloudwatch.IMetric {
	return newMetric("AWS/Lambda", metric, "Sum", map[string]*string{"FunctionName": jsii.String(w.Name(function))})
}

func (w *watch) ofAPI(metric, statistic string) awscloudwatch.IMetric {
	return newMetric("AWS/ApiGateway", metric, statistic, map[string]*string{"ApiId": w.api.id})
}

func (w *watch) ofMachine(name, metric string) awscloudwatch.IMetric {
	return newMetric("AWS/States", metric, "Sum", map[string]*string{"StateMachineArn": w.journeys.machines[name]})
}

// ofAllFunctions is a metric that Lambda itself adds up over the account: one to pay for, whatever the number of
// functions. A stage that matters has an account of its own.
func (w *watch) ofAllFunctions(metric string) awscloudwatch.IMetric {
	return newMetric("AWS/Lambda", metric, "Sum", nil)
}

// newMetric is a metric in periods of five minutes.
func newMetric(namespace, name, statistic string, dimensions map[string]*string) awscloudwatch.IMetric {
	return awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		Namespace:     jsii.String(namespace),
		MetricName:    jsii.String(name),
		Statistic:     jsii.String(statistic),
		DimensionsMap: &dimensions,
		Period:        awscdk.Duration_Minutes(jsii.Number(5)),
	})
}
