package embedded

import (
	"defter/pkg/app"
	"defter/pkg/lambdaio"
)

// functions are the handlers of the topology's rows, the same that functions/<name>/main.go starts on AWS.
var functions = map[string]func(*app.App) lambdaio.Handler{
	"register-customer":   app.RegisterCustomer,
	"find-customer":       app.FindCustomer,
	"get-customer":        app.GetCustomer,
	"update-profile":      app.UpdateProfile,
	"change-email":        app.ChangeEmail,
	"verify-email":        app.VerifyEmail,
	"deactivate-customer": app.DeactivateCustomer,
	"reactivate-customer": app.ReactivateCustomer,
	"grant-consent":       app.GrantConsent,
	"revoke-consent":      app.RevokeConsent,
	"list-consents":       app.ListConsents,
	"set-preferences":     app.SetPreferences,
	"list-events":         app.ListEvents,
	"list-messages":       app.ListMessages,
	"list-timeline":       app.ListTimeline,
	"list-audit":          app.ListAudit,
	"list-consented":      app.ListConsented,
	"erase-customer":      app.EraseCustomer,
	"ingest-events":       app.IngestEvents,
	"create-source":       app.CreateSource,
	"list-sources":        app.ListSources,
	"change-source":       app.ChangeSource,
	"issue-write-key":     app.IssueWriteKey,
	"list-quarantine":     app.ListQuarantine,
	"release-quarantined": app.ReleaseQuarantined,
	"describe-api":        app.DescribeAPI,
	"publish-events":      app.PublishEvents,
	"project-activity":    app.ProjectActivity,
	"project-consent":     app.ProjectConsent,
	"project-preferences": app.ProjectPreferences,
	"project-audit":       app.ProjectAudit,
	"send-verification":   app.SendVerification,
	"trigger-journeys":    app.TriggerJourneys,
	"run-journey-step":    app.RunJourneyStep,
	"send-email":          app.SendEmail,
	"expire-consents":     app.ExpireConsents,
	"archive-behaviour":   app.ArchiveBehaviour,
}
