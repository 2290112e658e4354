// The bill of materials (CycloneDX 1.5): every npm package in the bundle or
// beside it, Node, and the libraries inside Node, for scanners. From the lock
// file and the runtime alone, so that one commit gives one text.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NpmPackage } from './npmpackages.ts';
import type { Release } from './release.ts';

/** Numbers of Node's own interfaces, not versions of a library. */
const notLibraries = new Set(['node', 'modules', 'napi']);
/** Where the vendor in a CPE is not the name. */
const openssl = (version: string): string => `cpe:2.3:a:openssl:openssl:${version}:*:*:*:*:*:*:*`;

/** @param runtime folder of the npm package that carries Node */
export function billOfMaterials(
  packages: readonly NpmPackage[],
  runtime: string,
  release: Release,
): string {
  const components = packages
    .filter(({ folder }) => folder !== runtime)
    .map((each) => npmComponent(each));
  const node = nodeComponent(runtime);
  const ref = `kleidi@${release.version}`;
  const bill = {
    $schema: 'http://cyclonedx.org/schema/bom-1.5.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: {
      timestamp: new Date(release.epochSeconds * 1000).toISOString(),
      component: {
        'bom-ref': ref,
        type: 'application',
        name: 'kleidi',
        version: release.version,
        licenses: [{ license: { id: 'Apache-2.0' } }],
      },
    },
    components: [node, ...components],
    dependencies: [
      { ref, dependsOn: [node, ...components].map((component) => component['bom-ref']) },
    ],
  };
  return `${JSON.stringify(bill, null, 2)}\n`;
}

function npmComponent({ name, version, license, integrity }: NpmPackage) {
  const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`;
  const [algorithm = '', digest = ''] = integrity.split(/-(.*)/s);
  return {
    'bom-ref': purl,
    type: 'library',
    name,
    version,
    purl,
    licenses: [{ expression: license }],
    hashes: [
      {
        alg: algorithm.replace('sha', 'SHA-'),
        content: Buffer.from(digest, 'base64').toString('hex'),
      },
    ],
  };
}

/** The build runs on the Node that it ships, so process.versions is that Node's. */
function nodeComponent(runtime: string) {
  const { version } = JSON.parse(readFileSync(join(runtime, 'package.json'), 'utf8')) as {
    version: string;
  };
  if (process.versions.node !== version) {
    throw new Error(
      `run by Node ${process.versions.node}, but ${version} is shipped: npm run package`,
    );
  }
  const libraries = Object.entries(process.versions).filter(
    ([name, built]) => !notLibraries.has(name) && built !== '',
  );
  return {
    'bom-ref': `pkg:generic/node@${version}`,
    type: 'platform',
    name: 'node',
    version,
    purl: `pkg:generic/node@${version}`,
    cpe: `cpe:2.3:a:nodejs:node.js:${version}:*:*:*:*:*:*:*`,
    licenses: [{ expression: 'MIT' }],
    hashes: [{ alg: 'SHA-256', content: sha256(readFileSync(join(runtime, 'bin/node'))) }],
    components: libraries.map(([name, libraryVersion = '']) => ({
      'bom-ref': `node/${name}@${libraryVersion}`,
      type: 'library',
      name,
      version: libraryVersion,
      ...(name === 'openssl' ? { cpe: openssl(libraryVersion) } : {}),
    })),
  };
}

function sha256(contents: Buffer): string {
  return createHash('sha256').update(contents).digest('hex');
}
