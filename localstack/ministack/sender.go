package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
)

// verifySender makes the sender known to an emulator's SES. On AWS that takes the domain's owner.
func (d deployment) verifySender(ctx context.Context) error {
	account, err := d.account(ctx)
	if err != nil {
		return err
	}
	_, domain, _ := strings.Cut(d.emailFrom, "@")
	_, err = sesv2.NewFromConfig(account).CreateEmailIdentity(ctx, &sesv2.CreateEmailIdentityInput{EmailIdentity: aws.String(domain)})
	if exists := (*types.AlreadyExistsException)(nil); err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("verify %s: %w", domain, err)
	}
	return nil
}

// allowSending bridges the one difference between MiniStack's rules and those of AWS that the system meets: AWS asks
// whether send-email may use the sender's identity, which its role allows; MiniStack asks for every resource there is.
func (d deployment) allowSending(ctx context.Context) error {
	answer, err := d.call(ctx, "lambda", http.MethodGet, "/2015-03-31/functions/defter-"+d.stage+"-send-email/configuration", "")
	if err != nil {
		return err
	}
	var function struct{ Role string }
	if err := json.Unmarshal(answer, &function); err != nil {
		return fmt.Errorf("configuration of send-email: %w", err)
	}
	_, err = d.call(ctx, "iam", http.MethodPost, "/", url.Values{
		"Action": {"PutRolePolicy"}, "Version": {"2010-05-08"}, "RoleName": {path.Base(function.Role)}, "PolicyName": {"send"},
		"PolicyDocument": {`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ses:SendEmail","Resource":"*"}]}`},
	}.Encode())
	return err
}

// call sends one signed request: two calls are not worth two more SDK modules.
func (d deployment) call(ctx context.Context, service, method, target, form string) ([]byte, error) {
	account, err := d.account(ctx)
	if err != nil {
		return nil, err
	}
	key, err := account.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, method, d.endpoint+target, bytes.NewReader([]byte(form)))
	if err != nil {
		return nil, err
	}
	if form != "" {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	digest := sha256.Sum256([]byte(form))
	if err := v4.NewSigner().SignHTTP(ctx, key, request, hex.EncodeToString(digest[:]), service, testRegion, time.Now()); err != nil {
		return nil, err
	}
	client, err := trusting(d.certificate)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %s: %s: %s", service, target, answer.Status, text)
	}
	return text, nil
}
