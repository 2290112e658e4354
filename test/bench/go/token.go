package main

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"
)

const (
	nonceBytes = 16
	tagBits    = 128
)

// token has one AES-256 key of a PKCS#11 token, and sessions for as many callers as come.
type token struct {
	module   *pkcs11.Ctx
	slot     uint
	key      pkcs11.ObjectHandle
	aad      []byte
	sessions chan pkcs11.SessionHandle
}

// mostSessions is what SoftHSM is asked for at once; more callers wait.
const mostSessions = 64

// openToken logs in and finds the key of this label, or makes one.
func openToken(modulePath, tokenLabel, pin, keyLabel string) (*token, error) {
	module := pkcs11.New(modulePath)
	if module == nil {
		return nil, fmt.Errorf("%s cannot be loaded", modulePath)
	}
	if err := module.Initialize(); err != nil {
		return nil, err
	}
	slot, err := slotOf(module, tokenLabel)
	if err != nil {
		return nil, err
	}
	t := &token{module: module, slot: slot, aad: []byte(keyLabel), sessions: make(chan pkcs11.SessionHandle, mostSessions)}
	for range mostSessions {
		session, err := module.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
		if err != nil {
			return nil, err
		}
		t.sessions <- session
	}
	session := <-t.sessions
	defer func() { t.sessions <- session }()
	if err := module.Login(session, pkcs11.CKU_USER, pin); err != nil {
		return nil, err
	}
	t.key, err = t.findOrMake(session, keyLabel)
	return t, err
}

func slotOf(module *pkcs11.Ctx, label string) (uint, error) {
	slots, err := module.GetSlotList(true)
	if err != nil {
		return 0, err
	}
	for _, slot := range slots {
		if info, err := module.GetTokenInfo(slot); err == nil && info.Label == label {
			return slot, nil
		}
	}
	return 0, fmt.Errorf("no token has the label %q", label)
}

func (t *token) findOrMake(session pkcs11.SessionHandle, label string) (pkcs11.ObjectHandle, error) {
	wanted := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, label),
	}
	if err := t.module.FindObjectsInit(session, wanted); err != nil {
		return 0, err
	}
	found, _, err := t.module.FindObjects(session, 1)
	if err = errors.Join(err, t.module.FindObjectsFinal(session)); err != nil {
		return 0, err
	}
	if len(found) > 0 {
		return found[0], nil
	}
	mechanism := []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)}
	return t.module.GenerateKey(session, mechanism, append(wanted,
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_ENCRYPT, true),
		pkcs11.NewAttribute(pkcs11.CKA_DECRYPT, true),
		pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32),
	))
}

// seal returns nonce, ciphertext and tag.
func (t *token) seal(plaintext []byte) ([]byte, error) {
	nonce := make([]byte, nonceBytes)
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	session := <-t.sessions
	defer func() { t.sessions <- session }()
	mechanism, params := t.gcm(nonce)
	defer params.Free()
	if err := t.module.EncryptInit(session, mechanism, t.key); err != nil {
		return nil, err
	}
	sealed, err := t.module.Encrypt(session, plaintext)
	return append(nonce, sealed...), err
}

func (t *token) open(ciphertext []byte) ([]byte, error) {
	if len(ciphertext) < nonceBytes+tagBits/8 {
		return nil, errors.New("the ciphertext is too short")
	}
	session := <-t.sessions
	defer func() { t.sessions <- session }()
	mechanism, params := t.gcm(ciphertext[:nonceBytes])
	defer params.Free()
	if err := t.module.DecryptInit(session, mechanism, t.key); err != nil {
		return nil, err
	}
	return t.module.Decrypt(session, ciphertext[nonceBytes:])
}

func (t *token) gcm(nonce []byte) ([]*pkcs11.Mechanism, *pkcs11.GCMParams) {
	params := pkcs11.NewGCMParams(nonce, t.aad, tagBits)
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}, params
}
