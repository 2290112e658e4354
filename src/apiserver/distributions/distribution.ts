// What differs between the ways to run kube-apiserver. Each is one file of this
// folder, listed in all.ts; nothing outside of it asks which one it has.
import type { Paths } from '../flags.ts';

export type DistributionName = 'kubeadm' | 'rke2' | 'k3s' | 'unit';

/** Files by their paths. */
export type Texts = ReadonlyMap<string, string>;

export interface Distribution {
  readonly name: DistributionName;
  /** The file by which kube-apiserver is told of the EncryptionConfiguration. */
  readonly flagFile: string;
  /** What makes kube-apiserver read changed flags, for people. */
  readonly restart: string;
  /** The unit that is to be restarted for it; undefined where that happens by itself. */
  readonly service: string | undefined;
  /** Whether it reads a changed EncryptionConfiguration without a restart. */
  readonly readsChangesItself: boolean;
  /** Of the host's own cluster: no other is ever asked. */
  readonly kubeconfig: string;
  /** Whether its server is the API server of this host, not one of them all. */
  readonly kubeconfigIsOwn: boolean;
  /** Where it may have a key of its own for what it stores. */
  readonly ownKeys: OwnKeys | undefined;
  /** What must be changed in the cluster along with the flag file. */
  readonly clusterObject: ClusterObject | undefined;

  /** The file that shows that this host runs kube-apiserver so. Reads. @throws KleidiError file-failed */
  find(root: string): string | undefined;

  /** @param text of the flag file. @throws KleidiError refused */
  isFlagged(text: string, paths: Paths): boolean;

  /** What else kube-apiserver gets its flags from. Reads. @throws KleidiError file-failed */
  textsBeside(root: string, evidence: string): Texts;

  /** The flag file with kleidi. @throws KleidiError refused */
  enabled(found: Found, paths: Paths): string;

  /**
   * The flag file without what `enabled` adds; undefined: there is to be none.
   * @param keep the file before kleidi, whose flags and mounts stay; where that is not
   *   known, whether the EncryptionConfiguration must stay in use
   * @throws KleidiError refused
   */
  disabled(text: string, paths: Paths, keep: string | boolean): string | undefined;

  /**
   * Whether what starts kube-apiserver still has its old flags in memory: then a crash
   * would start it with them, and the EncryptionConfiguration that they name must be there.
   * @param show for tests: the command that systemd has loaded; undefined where it cannot
   *   be asked
   */
  hasLoaded(root: string, config: string, show?: () => string | undefined): boolean;

  /** Where flags of kube-apiserver stand on this host. Reads. @throws KleidiError refused, file-failed */
  flagText(root: string, evidence: string): string;
}

export interface Found {
  /** The flag file; empty where there is none. */
  readonly text: string;
  readonly evidence: string;
  readonly beside: Texts;
}

/** An EncryptionConfiguration that a distribution makes for itself: its keys must stay. */
interface OwnKeys {
  readonly path: string;
  /** @throws KleidiError refused */
  providersIn(text: string): object[];
}

/** An object from which an upgrade makes the flag file anew. */
export interface ClusterObject {
  /** @throws KleidiError refused where it names another EncryptionConfiguration */
  requireOwnFlag(text: string, paths: Paths): void;
  /** @throws KleidiError refused */
  enabled(text: string, paths: Paths): string;
  /** @param keep as of the flag file. @throws KleidiError refused */
  disabled(text: string, paths: Paths, keep: string | boolean): string;
}
