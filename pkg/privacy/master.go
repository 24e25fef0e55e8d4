package privacy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/tink-crypto/tink-go/v2/daead/subtle"
)

// KMS is a master key in AWS KMS.
type KMS struct {
	Client *kms.Client
	KeyID  string
}

func (m KMS) Wrap(ctx context.Context, name string, key []byte) ([]byte, error) {
	out, err := m.Client.Encrypt(ctx, &kms.EncryptInput{KeyId: &m.KeyID, Plaintext: key, EncryptionContext: contextOf(name)})
	if err != nil {
		return nil, err
	}
	return out.CiphertextBlob, nil
}

func (m KMS) Unwrap(ctx context.Context, name string, wrapped []byte) ([]byte, error) {
	out, err := m.Client.Decrypt(ctx, &kms.DecryptInput{KeyId: &m.KeyID, CiphertextBlob: wrapped, EncryptionContext: contextOf(name)})
	if err != nil {
		return nil, err
	}
	return out.Plaintext, nil
}

// contextOf binds a wrapped secret to its name: in the place of another it cannot be unwrapped.
func contextOf(name string) map[string]string { return map[string]string{"defter": name} }

// KeyFile is a master key in a file, for one machine.
type KeyFile struct{ sealer *subtle.AESSIV }

// OpenKeyFile reads the master key, or makes the file, readable by its owner only.
func OpenKeyFile(path string) (KeyFile, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, subtle.AESSIVKeySize)
		_, _ = rand.Read(key) // never fails
		err = os.WriteFile(path, key, 0o600)
	}
	if err != nil {
		return KeyFile{}, fmt.Errorf("master key: %w", err)
	}
	sealer, err := subtle.NewAESSIV(key)
	if err != nil {
		return KeyFile{}, fmt.Errorf("master key %s: %w", path, err)
	}
	return KeyFile{sealer}, nil
}

func (m KeyFile) Wrap(_ context.Context, name string, key []byte) ([]byte, error) {
	return m.sealer.EncryptDeterministically(key, []byte(name))
}

func (m KeyFile) Unwrap(_ context.Context, name string, wrapped []byte) ([]byte, error) {
	return m.sealer.DecryptDeterministically(wrapped, []byte(name))
}
