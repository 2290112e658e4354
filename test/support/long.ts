/** Under `npm run test:long`: walks go whole, of which a plain run takes samples, and playbooks that change nothing run once more. */
export const isLong = process.env['KLEIDI_TEST_LONG'] === '1';
