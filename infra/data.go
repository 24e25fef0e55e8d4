package main

import (
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssecretsmanager"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"defter/pkg/topology"
)

// data is what must outlive every other stack: the tables, the key over all customers' keys, and the access keys.
type data struct {
	tables map[string]awsdynamodb.Table
}

func newData(p *Platform) *data {
	stack := p.newStack("data", "Defter: the event store, the read models and the keys")
	stack.SetTerminationProtection(jsii.Bool(!p.Ephemeral))

	d := &data{tables: map[string]awsdynamodb.Table{}}
	for _, row := range topology.Tables {
		table := newTable(stack, p, row)
		d.tables[row.Name] = table
		p.provide(row.Name, resource{
			arns:        []*string{table.TableArn()},
			environment: map[string]*string{"DEFTER_" + envName(row.Name) + "_TABLE": table.TableName()},
		})
	}

	masterKey := newMasterKey(stack, p)
	p.provide(topology.MasterKey, resource{
		arns:        []*string{masterKey.KeyArn()},
		environment: map[string]*string{"DEFTER_MASTER_KEY": masterKey.KeyArn()},
	})

	archive := newArchive(stack, p)
	p.provide(topology.Archive, resource{
		arns: []*string{archive.ArnForObjects(jsii.String(archivePrefix + "*"))},
		environment: map[string]*string{
			"DEFTER_ARCHIVE_BUCKET": archive.BucketName(), "DEFTER_KEEP_BEHAVIOUR": jsii.String(p.KeepBehaviour),
		},
		whyAll: "Each object has a name of its own, which is new.",
	})

	apiKey := newAccessKey(stack, p, "ApiKey", topology.APIKeySecret, "Defter: the key of servers and back offices")
	p.provide(topology.APIKeySecret, resource{arns: []*string{apiKey}, environment: map[string]*string{"DEFTER_API_KEY_SECRET": apiKey}})
	// A key that the provider made replaces this one; until then no payment can be made.
	paymentKey := newAccessKey(stack, p, "PaymentKey", topology.PaymentKey, "Defter: the key that the payment provider knows us by")
	p.provide(topology.PaymentKey, resource{arns: []*string{paymentKey}, environment: map[string]*string{"DEFTER_PAYMENT_KEY_SECRET": paymentKey}})
	if p.WebACL != "" {
		edgeKey := newAccessKey(stack, p, "EdgeKey", "edge-key", "Defter: what CloudFront proves with that a request came by it")
		p.edgeKey = awscdk.SecretValue_SecretsManager(edgeKey, nil).UnsafeUnwrap() // a reference, which CloudFormation resolves
	}
	p.provide(topology.EmailIdentity, resource{
		arns: []*string{stack.FormatArn(&awscdk.ArnComponents{
			Service: jsii.String("ses"), Resource: jsii.String("identity"), ResourceName: jsii.String(p.EmailIdentity),
		})},
	})
	return d
}

// newTable makes a table that costs nothing while nobody uses it. It is encrypted under the account's own DynamoDB key:
// that costs no monthly fee, needs no KMS rights in thirty roles and has no key policy that could lock the ledger out.
// What is personal is encrypted once more, under each customer's data key, before it gets here.
func newTable(scope constructs.Construct, p *Platform, row topology.Table) awsdynamodb.Table {
	props := &awsdynamodb.TableProps{
		TableName:                        jsii.String(p.Name(row.Name)),
		PartitionKey:                     &awsdynamodb.Attribute{Name: jsii.String("pk"), Type: awsdynamodb.AttributeType_STRING},
		SortKey:                          &awsdynamodb.Attribute{Name: jsii.String("sk"), Type: awsdynamodb.AttributeType_STRING},
		BillingMode:                      awsdynamodb.BillingMode_PAY_PER_REQUEST,
		Encryption:                       awsdynamodb.TableEncryption_AWS_MANAGED,
		PointInTimeRecoverySpecification: &awsdynamodb.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: jsii.Bool(true)},
		DeletionProtection:               jsii.Bool(!p.Ephemeral),
		RemovalPolicy:                    p.removalPolicy(),
	}
	if row.Stream {
		props.Stream = awsdynamodb.StreamViewType_NEW_IMAGE
	}
	if row.TTLAttribute != "" {
		props.TimeToLiveAttribute = jsii.String(row.TTLAttribute)
	}
	return awsdynamodb.NewTable(scope, jsii.String(pascal(row.Name)+"Table"), props)
}

// newMasterKey makes the key that wraps the key-encryption keys. Whoever loses it loses every personal field, so it is
// kept when the stack goes, and deleting it by hand takes 30 days.
func newMasterKey(scope constructs.Construct, p *Platform) awskms.Key {
	return awskms.NewKey(scope, jsii.String("MasterKey"), &awskms.KeyProps{
		Alias:             jsii.String("alias/" + p.Name(topology.MasterKey)),
		Description:       jsii.String("Defter: wraps the keys that wrap customers' data keys"),
		EnableKeyRotation: jsii.Bool(true),
		PendingWindow:     awscdk.Duration_Days(jsii.Number(30)),
		RemovalPolicy:     p.removalPolicy(),
	})
}

// archivePrefix is what the names of the archive's objects begin with.
const archivePrefix = "behaviour/"

// newArchive makes the bucket that old behaviour goes to. What is personal in its objects is sealed under customers' data
// keys, as in the tables. Nothing reads it day by day, so it rests where that is cheap; behaviour of more than two years ago
// is of no use that its summaries do not serve, and is removed.
func newArchive(scope constructs.Construct, p *Platform) awss3.Bucket {
	bucket := awss3.NewBucket(scope, jsii.String("Archive"), &awss3.BucketProps{
		Encryption:        awss3.BucketEncryption_S3_MANAGED,
		BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(),
		ObjectOwnership:   awss3.ObjectOwnership_BUCKET_OWNER_ENFORCED,
		EnforceSSL:        jsii.Bool(true),
		MinimumTLSVersion: jsii.Number(1.2),
		Versioned:         jsii.Bool(true), // an object is written once; whatever writes over one by mistake leaves the first
		RemovalPolicy:     p.removalPolicy(),
		LifecycleRules: &[]*awss3.LifecycleRule{{
			AbortIncompleteMultipartUploadAfter: awscdk.Duration_Days(jsii.Number(7)),
			Expiration:                          awscdk.Duration_Days(jsii.Number(730)),
			NoncurrentVersionExpiration:         awscdk.Duration_Days(jsii.Number(30)),
			Transitions: &[]*awss3.Transition{{
				StorageClass: awss3.StorageClass_GLACIER_INSTANT_RETRIEVAL(), TransitionAfter: awscdk.Duration_Days(jsii.Number(1)),
			}},
		}},
	})
	accept(bucket, "AwsSolutions-S1", "One function writes objects, which hold nothing readable without customers' data keys, and nothing reads them: "+
		"a second bucket with a log of that would say what the events in the streams say.")
	return bucket
}

// punctuation is kept out of access keys: they travel in headers, where a colon or a comma would end them.
const punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

// newAccessKey makes a secret that callers of the API send, names it in the stack's outputs and returns its ARN.
func newAccessKey(scope constructs.Construct, p *Platform, id, name, description string) *string {
	secret := awssecretsmanager.NewSecret(scope, jsii.String(id), &awssecretsmanager.SecretProps{
		SecretName:  jsii.String(p.Name(name)),
		Description: jsii.String(description),
		GenerateSecretString: &awssecretsmanager.SecretStringGenerator{
			PasswordLength: jsii.Number(40), ExcludeCharacters: jsii.String(punctuation),
		},
		RemovalPolicy: p.removalPolicy(),
	})
	accept(secret, "AwsSolutions-SMG4", "Apps and servers outside this account hold the key: rotating it on a timer would lock them out. "+
		"An operator puts a new value when its holders are ready.")
	// The attribute is the ARN everywhere; a reference to the secret, which SecretArn is, is its name on some emulators.
	arn := secret.Node().DefaultChild().(awssecretsmanager.CfnSecret).AttrId()
	awscdk.NewCfnOutput(scope, jsii.String(id+"Secret"), &awscdk.CfnOutputProps{Value: arn})
	return arn
}

// pascal turns a name of the topology into a construct's id: register-customer becomes RegisterCustomer.
func pascal(name string) string {
	var b strings.Builder
	for _, word := range strings.Split(name, "-") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// envName turns a name of the topology into part of a variable's name.
func envName(name string) string { return strings.ToUpper(strings.ReplaceAll(name, "-", "_")) }
