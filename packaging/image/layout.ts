// An OCI image layout (image-spec 1.0): a folder with oci-layout, index.json, and each blob
// under its SHA-256.
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

export interface ImageFacts {
  readonly architecture: string;
  readonly created: string;
  /** As the index names it. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly user: string;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
}

export interface Layer {
  readonly what: string;
  readonly tar: Buffer;
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

const mediaType = (what: string): string => `application/vnd.oci.image.${what}`;

export function writeLayout(folder: string, facts: ImageFacts, layers: readonly Layer[]): void {
  mkdirSync(join(folder, 'blobs/sha256'), { recursive: true });
  const put = (type: string, contents: Buffer): Descriptor => {
    const hex = sha256(contents);
    writeFileSync(join(folder, 'blobs/sha256', hex), contents);
    return { mediaType: mediaType(type), digest: `sha256:${hex}`, size: contents.length };
  };
  const config = put('config.v1+json', json(configOf(facts, layers)));
  // Without a name or a time in the header.
  const packed = layers.map((layer) => put('layer.v1.tar+gzip', gzipSync(layer.tar)));
  const annotations = facts.labels;
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaType('manifest.v1+json'),
    config,
    layers: packed,
    annotations,
  };
  const described = {
    ...put('manifest.v1+json', json(manifest)),
    platform: { architecture: facts.architecture, os: 'linux' },
    annotations: { 'org.opencontainers.image.ref.name': facts.name },
  };
  const index = { schemaVersion: 2, mediaType: mediaType('index.v1+json'), manifests: [described] };
  writeFileSync(join(folder, 'index.json'), json(index));
  writeFileSync(join(folder, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }));
}

function configOf(facts: ImageFacts, layers: readonly Layer[]): object {
  const { architecture, created, user, entrypoint, command, labels } = facts;
  return {
    created,
    architecture,
    os: 'linux',
    config: {
      User: user,
      Env: ['PATH=/usr/bin'],
      Entrypoint: entrypoint,
      Cmd: command,
      WorkingDir: '/',
      Labels: labels,
      StopSignal: 'SIGTERM',
    },
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => `sha256:${sha256(layer.tar)}`) },
    history: layers.map(({ what }) => ({ created, created_by: what })),
  };
}

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function sha256(contents: Buffer): string {
  return createHash('sha256').update(contents).digest('hex');
}
