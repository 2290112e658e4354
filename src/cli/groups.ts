// The verbs that are groups of actions, each in a file of its own: kleidi key create is
// key/create.ts.
import { commandGroup } from './verb.ts';

export const key = commandGroup({
  summary: 'KEKs: request, create, import, list, promote, retire, destroy',
  actions: {
    request: async () => (await import('./key/request.ts')).keyRequest,
    create: async () => (await import('./key/create.ts')).keyCreate,
    import: async () => (await import('./key/import.ts')).keyImport,
    list: async () => (await import('./key/list.ts')).keyList,
    promote: async () => (await import('./key/promote.ts')).keyPromote,
    retire: async () => (await import('./key/retire.ts')).keyRetire,
    destroy: async () => (await import('./key/destroy.ts')).keyDestroy,
  },
  example: 'kleidi key create --recovery recovery.pub=SHA256',
});

/** All work on a machine that is offline. */
export const recovery = commandGroup({
  summary: 'the offline recovery key: create, test, pin, rewrap, replace',
  actions: {
    create: async () => (await import('./recovery/create.ts')).recoveryCreate,
    test: async () => (await import('./recovery/test.ts')).recoveryTest,
    pin: async () => (await import('./recovery/pin.ts')).recoveryPin,
    rewrap: async () => (await import('./recovery/rewrap.ts')).recoveryRewrap,
    replace: async () => (await import('./recovery/replace.ts')).recoveryReplace,
  },
  note: 'None needs a token or a configuration.',
  example: 'kleidi recovery create --out recovery',
});

export const pin = commandGroup({
  summary: "another PIN for this host's token",
  actions: {
    set: async () => (await import('./pin/set.ts')).pinSet,
    reseal: async () => (await import('./pin/reseal.ts')).pinReseal,
  },
  example: 'kleidi pin set --change --random',
});

export const credential = commandGroup({
  summary: 'secrets that open on this machine alone',
  actions: { seal: async () => (await import('./credential/seal.ts')).credentialSeal },
  example: 'kleidi credential seal vault-secret-id < secret-id',
});

export const ring = commandGroup({
  summary: 'show, digest to compare hosts by, export, adopt',
  actions: {
    show: async () => (await import('./ring/show.ts')).ringShow,
    digest: async () => (await import('./ring/digest.ts')).ringDigestOf,
    export: async () => (await import('./ring/export.ts')).ringExport,
    adopt: async () => (await import('./ring/adopt.ts')).ringAdopt,
  },
  example: 'kleidi ring digest --live',
});

export const apiserver = commandGroup({
  summary: 'make kube-apiserver use kleidi, phase by phase, and undo it',
  actions: {
    detect: async () => (await import('./apiserver/detect.ts')).apiserverDetect,
    plan: async () => (await import('./apiserver/plan.ts')).apiserverPlan,
    enable: async () => (await import('./apiserver/enable.ts')).apiserverEnable,
    disable: async () => (await import('./apiserver/disable.ts')).apiserverDisable,
    status: async () => (await import('./apiserver/status.ts')).apiserverStatus,
    rewrite: async () => (await import('./apiserver/rewrite.ts')).apiserverRewrite,
    config: async () => (await import('./apiserver/config.ts')).apiserverConfig,
  },
  example: 'kleidi apiserver plan --phase read',
});

export const snapshot = commandGroup({
  summary: 'what an etcd snapshot is sealed with, and can this ring open it',
  actions: { scan: async () => (await import('./snapshot/scan.ts')).snapshotScan },
  example: 'kleidi snapshot scan /var/backups/etcd.db --verify',
});

export const vault = commandGroup({
  summary: 'the least policy for Vault; texts to know its KEKs again by',
  actions: {
    policy: async () => (await import('./vault/policy.ts')).vaultPolicy,
    record: async () => (await import('./vault/record.ts')).vaultRecord,
  },
  example: 'kleidi vault policy | vault policy write kleidi -',
});

export const tpm = commandGroup({
  summary: 'a KEK that the TPM of this machine keeps',
  actions: { create: async () => (await import('./tpm/create.ts')).tpmCreate },
  example: 'kleidi tpm create --single-master --accept-no-recovery',
});
