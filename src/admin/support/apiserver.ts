// What the support bundle says of kube-apiserver of this host. Of its flags those that are
// named here are shown with their values, of the others the names; of its
// EncryptionConfiguration, which may hold keys, the kinds and names of the providers.
import { flagValues } from '../../apiserver/flagvalues.ts';
import { textAt } from '../../apiserver/hostfiles.ts';
import {
  allFlagText,
  type Installation,
  requireInstallation,
} from '../../apiserver/installation.ts';
import { ApiserverClient } from '../../apiserver/live/client.ts';
import { providersIn } from '../../apiserver/outline.ts';
import type { Config } from '../../config.ts';
import { ownSection, type Section } from './section.ts';

const shownFlags = [
  ...['encryption-provider-config', 'encryption-provider-config-automatic-reload'],
  ...['etcd-servers', 'etcd-prefix', 'storage-backend', 'storage-media-type', 'feature-gates'],
  ...['bind-address', 'secure-port', 'advertise-address', 'runtime-config'],
];

/** What tells of sealing, of the configuration and of KMS plugins, and since when. */
const shownMetrics =
  /^(?:apiserver_envelope_encryption|apiserver_encryption_config|apiserver_storage_(?:transformation|envelope|data_key)|process_start_time|kubernetes_build_info)/;

interface Wish {
  readonly configPath: string;
  readonly config: Config | undefined;
  readonly kubeconfig: string | undefined;
}

export function apiserverSections({ configPath, config, kubeconfig }: Wish): Section[] {
  const given = kubeconfig === undefined ? [] : ['--kubeconfig', kubeconfig];
  const own = (...args: string[]): Section => ownSection(configPath, 'apiserver', ...args);
  return [
    own('detect'),
    own('status'),
    own('status', '--live', ...given),
    { title: 'flags of kube-apiserver', read: async () => flagLines(installation()) },
    {
      title: 'providers in the EncryptionConfiguration',
      read: async () => outline(installation(), config),
    },
    {
      title: 'metrics of kube-apiserver',
      read: async () => metricLines(installation(), kubeconfig),
    },
  ];
}

function installation(): Installation {
  return requireInstallation('/', undefined);
}

function flagLines(found: Installation): string {
  const text = allFlagText(found);
  const lines = shownFlags.flatMap((flag) =>
    flagValues(text, flag).map((value) => `--${flag}=${value}`),
  );
  const others = [...text.matchAll(/(?<![\w-])--([a-z][a-z0-9-]*[a-z0-9])/g)]
    .map(([, name = '']) => name)
    .filter((name) => !shownFlags.includes(name));
  return [...new Set(lines), `others, by name: ${[...new Set(others)].sort().join(' ')}`].join(
    '\n',
  );
}

function outline({ root }: Installation, config: Config | undefined): string {
  if (config === undefined) return '(the configuration of kleidi is not valid)';
  const path = config.encryptionConfig;
  const text = textAt(root, path);
  return text === undefined ? `(${path} is missing)` : `${path}\n${providersIn(text, path)}`;
}

async function metricLines(found: Installation, kubeconfig: string | undefined): Promise<string> {
  const client = ApiserverClient.open(found, kubeconfig);
  try {
    const text = await client.get('/metrics');
    const ready = await client.call({ method: 'GET', path: '/readyz?verbose' });
    return `${text
      .split('\n')
      .filter((line) => shownMetrics.test(line) && !line.includes('_bucket{'))
      .join('\n')}\n${ready.body}`;
  } finally {
    client.close();
  }
}
