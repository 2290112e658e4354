// What AES-CMAC is computed over under a KEK, by the token or offline. Each
// text begins in its own way, so that no answer can stand for another. Imports
// nothing.

/** Its CMAC is the fingerprint of the KEK. */
export const fingerprintText = 'kleidi/v1 key-fingerprint';

/** Its CMAC is the check of the KEK: with the fingerprint it commits to the key. */
export const checkText = 'kleidi/v1 key-check';

/** Begins what a KEK says of one that was made while it was written with. 16 bytes. */
export const vouchPrefix = 'kleidi/v2 vouch ';

/** Begins what a bundle says of a KEK: only who holds the KEK can vouch for it. */
export const bundleKekPrefix = 'kleidi/v2 bundle-kek ';
