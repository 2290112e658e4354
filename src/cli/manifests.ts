// kleidi manifests: what Kubernetes is given where kleidi cannot be a service of its hosts.
import { stringify } from 'yaml';
import { type ManifestKind, manifest, manifestKinds } from '../container/manifest.ts';
import { print, printJson } from '../terminal.ts';
import { version } from '../version.ts';
import { flag, jsonOption, required, text } from './option.ts';
import { command } from './verb.ts';

export const manifests = command({
  summary: 'a static pod or a DaemonSet, for hosts that take no package',
  notes: [
    `Prints a manifest for kleidi's image. A static pod starts with its host, also where no API
    server answers yet: put it into the folder of manifests of each control-plane host. A
    DaemonSet comes by the API server, and so after it. On each node the pod makes folders, PINs,
    token and ring by itself, once, and the container named commands runs kleidi's commands:
    kubectl exec -n kube-system POD -c commands -- kleidi status.`,
    `The host service of the packages is the better form: a pod has no systemd to seal its PIN with,
    and none that holds its socket through a restart (container.md).`,
  ],
  options: {
    kind: required(text('KIND', 'static-pod or daemonset', manifestKinds)),
    image: text('REF', `the image as the nodes pull it (default: localhost/kleidi:VERSION)`),
    'token-only':
      flag(`no KEK is made: it comes from the first member, by key request, key create and
      join. Always so in a DaemonSet, whose pods would make a KEK each`),
    json: jsonOption,
  },
  example: 'kleidi manifests --kind static-pod --image registry.example/kleidi:0.1.0',
  async run(options) {
    const kind = options.text('kind') as ManifestKind;
    const image = options.text('image') ?? `localhost/kleidi:${version}`;
    const isTokenOnly = kind === 'daemonset' || options.flag('token-only');
    const made = manifest(kind, { image, isTokenOnly });
    if (options.json) printJson(made);
    // People read it, and tools that know no anchors.
    else print(stringify(made, { aliasDuplicateObjects: false }).trimEnd());
    return 0;
  },
});
