// Whether an API server of this host uses kleidi, or once did. The package writes an
// EncryptionConfiguration at phase read itself, so that one alone says nothing.
import { existsSync } from 'node:fs';
import { EncryptionConfiguration } from '../../apiserver/encryptionconfig.ts';
import { textAt } from '../../apiserver/hostfiles.ts';
import { findInstallations, isFlagged } from '../../apiserver/installation.ts';
import { phasePath } from '../../apiserver/phase.ts';
import { recordPath } from '../../apiserver/record.ts';
import type { Config } from '../../config.ts';
import { reasonOf } from '../../errors.ts';

/** Each a clause; none where no API server uses it. */
export function apiserverUse(config: Config, root = '/'): readonly string[] {
  const record = recordPath(config.ring);
  return [
    ...(existsSync(record) ? [`kleidi apiserver enable was used here (${record})`] : []),
    ...flagged(config, root),
    ...sealing(config.encryptionConfig, config.socket, root),
  ];
}

/** Also where `disable` has ended it. */
export function apiserverPast({ ring }: Config): readonly string[] {
  const phase = phasePath(recordPath(ring));
  return existsSync(phase) ? [`an API server of this host was taken to a phase (${phase})`] : [];
}

function flagged({ socket, encryptionConfig }: Config, root: string): readonly string[] {
  const paths = { socket, config: encryptionConfig };
  return findInstallations(root)
    .filter((installation) => isFlagged({ ...installation, paths }))
    .map(
      ({ distribution }) =>
        `the flags of kube-apiserver name ${paths.config} (${distribution.flagFile})`,
    );
}

function sealing(path: string, socket: string, root: string): readonly string[] {
  const text = textAt(root, path);
  if (text === undefined || !/\bkleidi\b/.test(text)) return [];
  try {
    const { phase } = new EncryptionConfiguration(text, { socket, config: path });
    return phase === undefined || phase === 'read' ? [] : [`${path} is at phase ${phase}`];
  } catch (error) {
    return [
      `${path} names kleidi, and its phase cannot be told: ${reasonOf(error).replace(/\s*\n\s*/g, ' ')}`,
    ];
  }
}
