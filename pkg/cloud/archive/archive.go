// Package archive lets a function put objects into the archive's bucket.
package archive

import (
	"bytes"
	"context"
	"fmt"

	"defter/pkg/app"
	"defter/pkg/archive"
	"defter/pkg/cloud"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Part lets the function put objects into the archive's bucket.
func Part(a *app.App, c aws.Config, s cloud.Settings) {
	// An emulator is one address for all buckets; AWS has an address for each.
	a.Archive = bucket{s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = c.BaseEndpoint != nil }), s.ArchiveBucket}
}

type bucket struct {
	client *s3.Client
	name   string
}

func (b bucket) Put(ctx context.Context, name string, lines []byte) error {
	data, err := archive.Compressed(lines)
	if err != nil {
		return err
	}
	_, err = b.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &b.name, Key: &name, Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data))),
		ContentType: aws.String("application/zstd"),
	})
	if err != nil {
		return fmt.Errorf("put object: %w", err)
	}
	return nil
}
