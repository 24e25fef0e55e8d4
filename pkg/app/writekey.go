package app

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
)

// A write key has the form that every client takes, Jitsu's included: c and 24 more small letters and digits. The first ten name
// it, the others prove that it was issued here: 72 bits of a MAC.
const (
	writeKeyStart = "c"
	keyNameLength = 10
	keyTagLength  = 14
)

// writeKeyOf is what a client presents: made from the key's id and a secret, and stored nowhere.
func (a *App) writeKeyOf(ctx context.Context, sourceID, keyID string) (string, error) {
	name, err := a.letters(ctx, "write-key-name", sourceID+"/"+keyID, keyNameLength)
	if err != nil {
		return "", err
	}
	tag, err := a.letters(ctx, "write-key", name, keyTagLength)
	return writeKeyStart + name + tag, err
}

// genuine says whether a write key was issued here, at whatever time and by whichever process.
func (a *App) genuine(ctx context.Context, key string) (bool, error) {
	name, ok := strings.CutPrefix(key, writeKeyStart)
	if !ok || len(name) != keyNameLength+keyTagLength {
		return false, nil
	}
	tag, err := a.letters(ctx, "write-key", name[:keyNameLength], keyTagLength)
	return err == nil && subtle.ConstantTimeCompare([]byte(tag), []byte(name[keyNameLength:])) == 1, err
}

// letters is a token of so many small letters and digits.
func (a *App) letters(ctx context.Context, purpose, subject string, length int) (string, error) {
	token, err := a.Keyring.Token(ctx, purpose, subject)
	if err != nil {
		return "", err
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", fmt.Errorf("make a write key: %w", err)
	}
	text := fmt.Sprintf("%0*s", length, new(big.Int).SetBytes(raw).Text(36))
	return text[len(text)-length:], nil
}
