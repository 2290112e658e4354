// Which cluster this host is of, recorded at kleidi apiserver enable.
import { recordClusterUid, recordedClusterUid } from '../../apiserver/clusteruid.ts';
import { askClusterUid } from '../../apiserver/kubectl.ts';
import { KleidiError } from '../../errors.ts';
import { note, warn } from '../../terminal.ts';
import type { ApiserverHost } from './host.ts';

/**
 * Asked of the API server where it is not recorded yet; an operator may say it, but
 * nothing else than the API server does. Never fails because nobody answers.
 * @throws KleidiError refused
 */
export async function noteCluster(host: ApiserverHost, given: string | undefined): Promise<void> {
  const { config } = host;
  const recorded = await recordedClusterUid(config.ring);
  if (recorded !== undefined && (given === undefined || given === recorded)) return;
  const asked = askClusterUid(host);
  const told = 'uid' in asked ? asked.uid : undefined;
  if (given !== undefined && told !== undefined && told !== given) {
    throw new KleidiError('refused', `the API server says that this is cluster ${told}`, {
      hint: `--cluster said ${given}: leave it out`,
    });
  }
  const uid = given ?? told;
  if (uid === undefined) {
    const why = 'unreachable' in asked ? ` (${asked.unreachable})` : '';
    return warn(
      `which cluster this is could not be asked${why}: --scan will want --cluster UID, or this command again where kubectl works`,
    );
  }
  await recordClusterUid(config.ring, uid);
  note(`this host is of cluster ${uid} (UID of kube-system)`);
}
