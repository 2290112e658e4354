// What holds where kleidi carries calls itself holds where grpc-js does, `grpc: library`: the
// same tests again.
process.env['KLEIDI_TEST_GRPC'] = 'library';

await import('./daemon-badrequests.test.ts');
await import('./daemon-bounds.test.ts');
await import('./callers.test.ts');
