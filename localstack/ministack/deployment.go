package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

const (
	cli          = "infra/cli"
	testRegion   = "us-east-1"
	welcomeDelay = "5s" // a day is too long for a test
)

// testCredentials are what every emulator takes for its administrator's.
var testCredentials = []string{"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_REGION=" + testRegion, "AWS_DEFAULT_REGION=" + testRegion}

// deployment is the CDK app on its way to an emulator or to AWS.
type deployment struct {
	options
	endpoint    string // "" for AWS itself
	certificate string // file, PEM: to trust at the endpoint; "" for the usual ones
}

// system is what a caller of the deployed API needs.
type system struct {
	url, certificate, apiKey string
}

// prepare installs the command line tools and, on an emulator, what the CDK needs in an account.
func (d deployment) prepare(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(cli, "node_modules", ".bin", "cdk")); err != nil {
		err := step("Installing the CDK command line", func() error {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
			defer cancel()
			return logged(command(ctx, "npm", "ci", "--prefix", cli), filepath.Join(d.work, "npm.log"))
		})
		if err != nil {
			return err
		}
	}
	if d.endpoint == "" {
		return nil
	}
	return step("Preparing the account", func() error {
		if err := d.verifySender(ctx); err != nil {
			return err
		}
		return d.cdk(ctx, 5*time.Minute, "bootstrap")
	})
}

func (d deployment) deploy(ctx context.Context) (system, error) {
	outputs := filepath.Join(d.work, "outputs.json")
	err := step("Deploying stage "+d.stage, func() error {
		return d.cdk(ctx, 20*time.Minute, "deploy", "--all", "--require-approval", "never", "--outputs-file", outputs)
	})
	if err != nil {
		return system{}, err
	}
	if d.certificate != "" {
		if err := d.allowSending(ctx); err != nil {
			return system{}, err
		}
	}
	return d.open(ctx, outputs)
}

func (d deployment) destroy(ctx context.Context) error {
	return step("Destroying stage "+d.stage, func() error {
		return d.cdk(ctx, 20*time.Minute, "destroy", "--all", "--force")
	})
}

// cdk runs the CDK command line, for the emulator or for AWS, with the settings of a test.
func (d deployment) cdk(ctx context.Context, atMost time.Duration, verb string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	tool := "cdk"
	environment := append(os.Environ(), "CDK_VALIDATION=false", "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=20")
	if d.endpoint != "" {
		tool = "cdklocal"
		environment = append(environment, "AWS_ENDPOINT_URL="+d.endpoint, "AWS_ENDPOINT_URL_S3="+d.endpoint)
		environment = append(environment, testCredentials...)
	}
	for name, value := range map[string]string{
		"stage": d.stage, "ephemeral": "true", "arch": d.arch, "functionsDir": d.functions,
		"emailFrom": d.emailFrom, "dataController": "Example Ltd.", "marketingTo": "any", "welcomeDelay": welcomeDelay, "paymentProvider": "local",
	} {
		args = append(args, "--context", name+"="+value)
	}
	args = append(args, "--output", filepath.Join(d.work, "cdk.out"))
	if d.certificate != "" {
		args = append(args, "--ca-bundle-path", d.certificate)
	}
	c := command(ctx, filepath.Join(cli, "node_modules", ".bin", tool), append([]string{verb}, args...)...)
	c.Env = environment
	return logged(c, filepath.Join(d.work, verb+".log"))
}

// open reads where the API is and what opens it: the URL from the stacks' outputs, the keys from their secrets.
func (d deployment) open(ctx context.Context, path string) (system, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return system{}, err
	}
	var stacks map[string]map[string]string
	if err := json.Unmarshal(text, &stacks); err != nil {
		return system{}, fmt.Errorf("%s: %w", path, err)
	}
	api, data := stacks["defter-"+d.stage+"-api"], stacks["defter-"+d.stage+"-data"]
	s := system{url: api["ApiUrl"], certificate: d.certificate}
	if d.endpoint != "" {
		// Emulators tell the APIs they host apart by the name they are called by.
		u, err := url.Parse(d.endpoint)
		if err != nil {
			return system{}, fmt.Errorf("AWS_ENDPOINT_URL: %w", err)
		}
		s.url = fmt.Sprintf("%s://%s.execute-api.localhost:%s", u.Scheme, api["ApiId"], u.Port())
	}

	account, err := d.account(ctx)
	if err != nil {
		return system{}, err
	}
	secrets := secretsmanager.NewFromConfig(account)
	secret, err := secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(data["ApiKeySecret"])})
	if err != nil {
		return system{}, fmt.Errorf("read the API key: %w", err)
	}
	s.apiKey = aws.ToString(secret.SecretString)
	return s, nil
}

// account is the configuration of a client of the emulator, as its administrator, or of AWS, as the caller.
func (d deployment) account(ctx context.Context) (aws.Config, error) {
	if d.endpoint == "" {
		return config.LoadDefaultConfig(ctx)
	}
	settings := []func(*config.LoadOptions) error{
		config.WithBaseEndpoint(d.endpoint), config.WithRegion(testRegion),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")),
	}
	if d.certificate != "" {
		text, err := os.ReadFile(d.certificate)
		if err != nil {
			return aws.Config{}, err
		}
		settings = append(settings, config.WithCustomCABundle(bytes.NewReader(text)))
	}
	return config.LoadDefaultConfig(ctx, settings...)
}
