// From an etcd key to the resource that kubectl names: /registry/secrets/ns/x is
// secrets, /registry/example.com/things/ns/x is things.example.com.

/** Built-in resources whose place in etcd is not their name (k8s.io/kubernetes, registry). */
const places: Readonly<Record<string, string>> = {
  'services/specs': 'services',
  'services/endpoints': 'endpoints',
  minions: 'nodes',
  ingress: 'ingresses.networking.k8s.io',
  podsecuritypolicy: 'podsecuritypolicies.policy',
};

/**
 * @param prefix kube-apiserver's --etcd-prefix, with a slash at its end
 * @returns undefined for keys that are not kube-apiserver's
 */
export function resourceOf(key: string, prefix: string): string | undefined {
  if (!key.startsWith(prefix)) return undefined;
  const [first = '', second] = key.slice(prefix.length).split('/', 2);
  if (second === undefined || first === '') return undefined;
  const place = places[`${first}/${second}`] ?? places[first];
  if (place !== undefined) return place;
  return first.includes('.') ? `${second}.${first}` : first;
}
