// Package privacy seals what is personal under a data key per customer, so that destroying that one key erases the
// customer everywhere, backups included. Three words: a data key seals one stream's personal fields; a key-encryption
// key wraps data keys and is wrapped in turn by the master key (KMS, or a key file on one machine); a lookup is a keyed
// hash under which something personal can be found again but not read.
//
// Sealing is AES-SIV (RFC 5297): deterministic, so that a view rebuilt from the store is the same to the byte. Equal
// plaintexts in the same place are recognisable as equal, nothing more.
package privacy

import (
	"container/list"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"defter/pkg/eventstore"
	"defter/pkg/fault"
	"defter/pkg/meter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/tink-crypto/tink-go/v2/daead/subtle"
)

const (
	keyEncryptionKeys = 4                // how many share the wrapping of all data keys
	cachedKeys        = 20_000           // data keys held in memory
	cachedFor         = 60 * time.Second // how long a process may still use a key that another one destroyed
)

// Master wraps and unwraps key-encryption keys. KMS and KeyFile are masters.
type Master interface {
	// Wrap binds the key to its name, by which alone Unwrap gives it back.
	Wrap(ctx context.Context, name string, key []byte) ([]byte, error)
	Unwrap(ctx context.Context, name string, wrapped []byte) ([]byte, error)
}

// Keyring keeps the data keys in a table of their own. It is an eventstore.Vault, safe for concurrent use.
type Keyring struct {
	client meter.API
	table  string
	master Master
	now    func() time.Time

	mu     sync.Mutex
	system map[string][]byte // unwrapped key-encryption keys and secrets, for as long as the process lives
	data   map[string]*list.Element
	used   *list.List // of *dataKey, most recently used first
}

type dataKey struct {
	owner  string
	sealer *subtle.AESSIV
	until  time.Time
}

// NewKeyring makes a keyring on an existing table.
func NewKeyring(client meter.API, table string, master Master, now func() time.Time) *Keyring {
	return &Keyring{client: client, table: table, master: master, now: now, system: map[string][]byte{}, data: map[string]*list.Element{}, used: list.New()}
}

func (k *Keyring) Seal(ctx context.Context, owner, place string, plaintext []byte) ([]byte, error) {
	key, err := k.key(ctx, owner, true)
	if err != nil {
		return nil, err
	}
	return key.EncryptDeterministically(plaintext, []byte(place))
}

func (k *Keyring) Open(ctx context.Context, owner, place string, sealed []byte) ([]byte, error) {
	key, err := k.key(ctx, owner, false)
	if err != nil {
		return nil, err
	}
	plaintext, err := key.DecryptDeterministically(sealed, []byte(place))
	if err != nil {
		return nil, fmt.Errorf("open what was sealed: %w: %w", eventstore.ErrCorrupt, err)
	}
	return plaintext, nil
}

// Known says whether the owner has a data key, or had one: making one costs a row for good.
func (k *Keyring) Known(ctx context.Context, owner string) (bool, error) {
	if k.cached(owner) != nil {
		return true, nil
	}
	out, err := k.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &k.table, Key: itemKey(owner), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return false, fmt.Errorf("look for data key: %w", err)
	}
	return out.Item != nil, nil
}

// Destroyed says whether the owner's data key was destroyed. One that never was made is not.
func (k *Keyring) Destroyed(ctx context.Context, owner string) (bool, error) {
	out, err := k.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &k.table, Key: itemKey(owner), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return false, fmt.Errorf("look for data key: %w", err)
	}
	return out.Item["gone"] != nil, nil
}

// Destroy makes everything sealed under the owner's key unreadable for good, and refuses the owner a new key. Other
// processes may use their copy for a minute; what they would append is refused by the version they do not know.
func (k *Keyring) Destroy(ctx context.Context, owner string) error {
	item := itemKey(owner)
	item["gone"] = &types.AttributeValueMemberN{Value: strconv.FormatInt(k.now().Unix(), 10)}
	if _, err := k.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &k.table, Item: item}); err != nil {
		return fmt.Errorf("destroy data key: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget(owner)
	return nil
}

// key returns the owner's data key, from memory, from the table, or made now.
func (k *Keyring) key(ctx context.Context, owner string, create bool) (*subtle.AESSIV, error) {
	if key := k.cached(owner); key != nil {
		return key, nil
	}
	for range 2 {
		out, err := k.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &k.table, Key: itemKey(owner), ConsistentRead: aws.Bool(true)})
		if err != nil {
			return nil, fmt.Errorf("read data key: %w", err)
		}
		switch {
		case out.Item == nil && create:
			key, err := k.create(ctx, owner)
			if err == nil {
				return k.keep(owner, key)
			}
			if _, ok := errors.AsType[*types.ConditionalCheckFailedException](err); !ok {
				return nil, err
			}
			// somebody else made it just now: read theirs
		case out.Item == nil:
			return nil, errors.New("there is no data key")
		case out.Item["gone"] != nil:
			return nil, eventstore.ErrErased
		default:
			key, err := k.unwrapData(ctx, owner, out.Item)
			if err != nil {
				return nil, err
			}
			return k.keep(owner, key)
		}
	}
	return nil, fmt.Errorf("make data key: %w", eventstore.ErrBusy)
}

func (k *Keyring) create(ctx context.Context, owner string) ([]byte, error) {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(owner)) // never fails
	name := "KEK#" + strconv.Itoa(int(hash.Sum32()%keyEncryptionKeys))
	wrapper, err := k.wrapper(ctx, name)
	if err != nil {
		return nil, err
	}
	key := make([]byte, subtle.AESSIVKeySize)
	_, _ = rand.Read(key) // never fails
	wrapped, err := wrapper.EncryptDeterministically(key, []byte(owner))
	if err != nil {
		return nil, fmt.Errorf("wrap data key: %w", err)
	}
	item := itemKey(owner)
	item["k"], item["w"] = &types.AttributeValueMemberS{Value: name}, &types.AttributeValueMemberB{Value: wrapped}
	_, err = k.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &k.table, Item: item, ConditionExpression: aws.String("attribute_not_exists(pk)")})
	if err != nil {
		return nil, fmt.Errorf("store data key: %w", err)
	}
	return key, nil
}

func (k *Keyring) unwrapData(ctx context.Context, owner string, item map[string]types.AttributeValue) ([]byte, error) {
	name, _ := item["k"].(*types.AttributeValueMemberS)
	wrapped, _ := item["w"].(*types.AttributeValueMemberB)
	if name == nil || wrapped == nil {
		return nil, errors.New("data key item is incomplete")
	}
	wrapper, err := k.wrapper(ctx, name.Value)
	if err != nil {
		return nil, err
	}
	key, err := wrapper.DecryptDeterministically(wrapped.Value, []byte(owner))
	if err != nil {
		return nil, fmt.Errorf("unwrap data key: %w", err)
	}
	return key, nil
}

func (k *Keyring) wrapper(ctx context.Context, name string) (*subtle.AESSIV, error) {
	key, err := k.Secret(ctx, name)
	if err != nil {
		return nil, err
	}
	return subtle.NewAESSIV(key)
}

// Secret returns a 64-byte secret of the system, made on first use and wrapped by the master key.
func (k *Keyring) Secret(ctx context.Context, name string) ([]byte, error) {
	k.mu.Lock()
	secret := k.system[name]
	k.mu.Unlock()
	if secret != nil {
		return secret, nil
	}
	for range 2 {
		out, err := k.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &k.table, Key: itemKey(name), ConsistentRead: aws.Bool(true)})
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		if wrapped, ok := out.Item["w"].(*types.AttributeValueMemberB); ok {
			if secret, err = k.master.Unwrap(ctx, name, wrapped.Value); err != nil {
				return nil, fmt.Errorf("unwrap %s: %w", name, err)
			}
			k.mu.Lock()
			defer k.mu.Unlock()
			k.system[name] = secret
			return secret, nil
		}
		fresh := make([]byte, subtle.AESSIVKeySize)
		_, _ = rand.Read(fresh) // never fails
		wrapped, err := k.master.Wrap(ctx, name, fresh)
		if denied(err) {
			return nil, fault.Because(err, fault.Busy, "no-secrets-yet", "nothing was stored here yet: the first customer, source or message makes the system's secrets")
		}
		if err != nil {
			return nil, fmt.Errorf("wrap %s: %w", name, err)
		}
		item := itemKey(name)
		item["w"] = &types.AttributeValueMemberB{Value: wrapped}
		_, err = k.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &k.table, Item: item, ConditionExpression: aws.String("attribute_not_exists(pk)")})
		if _, ok := errors.AsType[*types.ConditionalCheckFailedException](err); err != nil && !ok {
			return nil, fmt.Errorf("store %s: %w", name, err)
		}
		// read it back, whoever made it
	}
	return nil, fmt.Errorf("make %s: %w", name, eventstore.ErrBusy)
}

// denied says whether AWS refused something for want of a right. Few functions may make the system's secrets, which are made once.
func denied(err error) bool {
	refused, ok := errors.AsType[smithy.APIError](err)
	return ok && strings.HasPrefix(refused.ErrorCode(), "AccessDenied")
}

// Lookup is the keyed hash under which a value of a kind is found: the same value, the same hash, on this system only.
func (k *Keyring) Lookup(ctx context.Context, kind, value string) (string, error) {
	sum, err := k.mac(ctx, "SECRET#lookup", kind, value)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sum[:16]), nil
}

// Token is a secret that can be made again from what it is for, so that it never needs to be stored.
func (k *Keyring) Token(ctx context.Context, purpose, subject string) (string, error) {
	sum, err := k.mac(ctx, "SECRET#token", purpose, subject)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sum[:24]), nil
}

func (k *Keyring) mac(ctx context.Context, secret, kind, value string) ([]byte, error) {
	key, err := k.Secret(ctx, secret)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(kind + "\x00" + value)) // never fails
	return mac.Sum(nil), nil
}

func (k *Keyring) cached(owner string) *subtle.AESSIV {
	k.mu.Lock()
	defer k.mu.Unlock()
	at := k.data[owner]
	if at == nil {
		return nil
	}
	key := at.Value.(*dataKey)
	if k.now().After(key.until) {
		k.forget(owner)
		return nil
	}
	k.used.MoveToFront(at)
	return key.sealer
}

func (k *Keyring) keep(owner string, key []byte) (*subtle.AESSIV, error) {
	sealer, err := subtle.NewAESSIV(key)
	if err != nil {
		return nil, fmt.Errorf("use data key: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget(owner)
	k.data[owner] = k.used.PushFront(&dataKey{owner, sealer, k.now().Add(cachedFor)})
	for k.used.Len() > cachedKeys {
		k.forget(k.used.Back().Value.(*dataKey).owner)
	}
	return sealer, nil
}

func (k *Keyring) forget(owner string) {
	if at := k.data[owner]; at != nil {
		k.used.Remove(at)
		delete(k.data, owner)
	}
}

func itemKey(pk string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: pk}, "sk": &types.AttributeValueMemberS{Value: "#"}}
}

// Personal is a personal value that redacts itself wherever it is logged, formatted or encoded. A conversion to string
// gets it out, and so does its use as the key of a JSON object.
type Personal string

const redacted = "[personal]"

func (Personal) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Personal) String() string               { return redacted }
func (Personal) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Format redacts whatever the verb: a wrong one would print the value itself.
func (Personal) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) } // fmt keeps the error

// Reachable says whether the table of keys answers.
func (k *Keyring) Reachable(ctx context.Context) error {
	_, err := k.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &k.table, Key: itemKey("KEK#0")})
	return err
}
