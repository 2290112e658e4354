// What every MAC, hash, label and additional data of kleidi begins with. Each text is
// of one use, so that no answer of a key can stand for another. Imports nothing.

/** Its CMAC is the fingerprint of the KEK. */
export const fingerprintText = 'kleidi/v1 key-fingerprint';

/** Its CMAC is the check of the KEK: with the fingerprint it commits to the key. */
export const checkText = 'kleidi/v1 key-check';

/** Begins what a KEK says of one that was made while it was written with. 16 bytes. */
export const vouchPrefix = 'kleidi/v2 vouch ';

/** Begins what a bundle says of a KEK: only who holds the KEK can vouch for it. */
export const bundleKekPrefix = 'kleidi/v2 bundle-kek ';

/** Additional data of what a provider seals to test itself. */
export const selfTestAad = Buffer.from('kleidi/v1 self-test');

/** With these nothing that `selfTestAad` has sealed may open. */
export const otherSelfTestAad = Buffer.from('kleidi/v1 self-test with other data');

/** Begins the additional data of the text by which a host knows a KEK in Vault. */
export const knownTextPrefix = 'kleidi/v1 vault-known ';

/** Begins what is hashed to the fingerprint of a recovery key. */
export const recoveryKeyPrefix = 'kleidi/v2 recovery-key ';

/** Begins what the key of an outer layer is derived with. */
export const recoveryPartPrefix = 'kleidi/v2 recovery-part ';

/** Begins what the outer layer around a KEK is bound to. */
export const recoveryKekPrefix = 'kleidi/v2 recovery-kek ';

/** Begins what the outer layer around a PIN is bound to. */
export const recoveryPinPrefix = 'kleidi/v2 recovery-pin ';

/** OAEP label of a PIN; a KEK has none. */
export const pinLabel = Buffer.from('kleidi/v2 pin');

/** Begins what is hashed to the id of a ring whose first KEK is in Vault. */
export const ringIdPrefix = 'kleidi/v2 ring-id ';

/** Begins what is hashed to the name of a machine. */
export const machinePrefix = 'kleidi/v1 machine ';
