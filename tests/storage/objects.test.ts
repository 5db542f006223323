import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { FastifyInstance } from 'fastify';
import { createApp } from '../../api/app';
import { registerObjects } from '../../api/routes/v1/objects';
import { openDirectoryStore } from '../../storage/objects/directory';
import { objectKey } from '../../storage/objects/keys';
import { openS3Store } from '../../storage/objects/s3';
import type { ObjectStore } from '../../storage/objects/store';
import { startS3 } from '../support/versitygw';

const SIGNING_KEY = 'k'.repeat(32);
const BYTES = Buffer.from('the bytes of an object');
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const describing = (bytes: Buffer): { digest: string; sizeBytes: number } => ({
  digest: sha256(bytes),
  sizeBytes: bytes.length,
});

interface Opened {
  readonly store: ObjectStore;
  close(): Promise<void>;
}

async function openDirectory(): Promise<Opened> {
  const root = mkdtempSync(join(tmpdir(), 'anneal-objects-'));
  let baseUrl = '';
  const store = openDirectoryStore({
    root,
    signingKey: SIGNING_KEY,
    get baseUrl() {
      return baseUrl;
    },
  });
  const app: FastifyInstance = await createApp({
    authenticate: () => Promise.reject(new Error('signed URLs need no caller')),
    routes: (it) => {
      registerObjects(it, { objects: store, postgres: undefined as never });
    },
  });
  await app.listen({ port: 0, host: '127.0.0.1' });
  baseUrl = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
  return {
    store,
    async close() {
      await app.close();
      rmSync(root, { recursive: true });
    },
  };
}

async function openS3(): Promise<Opened> {
  const server = await startS3();
  return { store: openS3Store(server.options), close: () => server.stop() };
}

describe.each([
  ['directory', openDirectory],
  ['S3', openS3],
])('object store in %s', (_name, open) => {
  let opened: Opened;
  let key: string;
  beforeAll(async () => {
    opened = await open();
  });
  afterAll(() => opened.close());
  beforeEach(async () => {
    key = objectKey('default', sha256(BYTES));
    await opened.store.delete(key);
  });

  const read = async (range?: { start: number; end: number }): Promise<string | undefined> => {
    const body = await opened.store.get(key, range);
    return body === undefined ? undefined : (await buffer(body)).toString();
  };
  const uploadTo = async (url: string, body: Buffer, headers: Record<string, string>) =>
    fetch(url, { method: 'PUT', body: new Uint8Array(body), headers });

  it('gives back what was put, whole and in part, and its size', async () => {
    await opened.store.put(key, Readable.from([BYTES]), describing(BYTES));
    expect(await read()).toBe(BYTES.toString());
    expect(await read({ start: 4, end: 9 })).toBe('bytes');
    expect(await opened.store.head(key)).toBe(BYTES.length);
  });

  it('takes the same object again', async () => {
    await opened.store.put(key, Readable.from([BYTES]), describing(BYTES));
    await opened.store.put(key, Readable.from([BYTES]), describing(BYTES));
    expect(await read()).toBe(BYTES.toString());
  });

  it('has nothing where nothing was put, or where it was deleted', async () => {
    expect(await read()).toBeUndefined();
    expect(await opened.store.head(key)).toBeUndefined();
    await opened.store.put(key, Readable.from([BYTES]), describing(BYTES));
    await opened.store.delete(key);
    expect(await opened.store.head(key)).toBeUndefined();
  });

  it('refuses other bytes under a digest and keeps none of them', async () => {
    const other = Buffer.from('not the bytes, though as long'.slice(0, BYTES.length));
    const put = opened.store.put(key, Readable.from([other]), describing(BYTES));
    await expect(put).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    expect(await opened.store.head(key)).toBeUndefined();
  });

  it('takes a signed upload and serves a signed download', async () => {
    const signed = await opened.store.signPut(key, { ...describing(BYTES), expiresSeconds: 60 });
    const answer = await uploadTo(signed.url, BYTES, { ...signed.headers });
    expect(answer.status).toBe(200);
    const url = await opened.store.signGet(key, { expiresSeconds: 60 });
    const got = await fetch(url);
    expect(await got.text()).toBe(BYTES.toString());
  });

  it('refuses a signed upload of other bytes', async () => {
    const signed = await opened.store.signPut(key, { ...describing(BYTES), expiresSeconds: 60 });
    const other = Buffer.from('x'.repeat(BYTES.length));
    const answer = await uploadTo(signed.url, other, { ...signed.headers });
    expect(answer.status).toBe(400);
    expect(await opened.store.head(key)).toBeUndefined();
  });

  it('refuses a URL that was changed, is for reading only, or has expired', async () => {
    await opened.store.put(key, Readable.from([BYTES]), describing(BYTES));
    const url = await opened.store.signGet(key, { expiresSeconds: 60 });
    const changed = await fetch(url.replace(/(cas\/sha256\/\w\w\/)\w\w/, '$1zz'));
    expect(changed.status).toBe(403);
    const asPut = await uploadTo(url, BYTES, {});
    expect(asPut.status).toBe(403);
    const expired = await opened.store.signGet(key, { expiresSeconds: 1 });
    await new Promise((resolve) => setTimeout(resolve, 2_100));
    expect((await fetch(expired)).status).toBe(403);
  });
});

describe('directory store on a full disk', () => {
  const mounted = mkdtempSync(join(tmpdir(), 'anneal-full-'));
  beforeAll(() => {
    // as root a small tmpfs is mounted; without root this machine cannot simulate a full disk
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', mounted]);
  });
  afterAll(() => {
    execFileSync('umount', [mounted]);
    rmSync(mounted, { recursive: true });
  });

  it('says STORAGE_FULL, leaves nothing behind, and works again once there is room', async () => {
    const store = openDirectoryStore({
      root: mounted,
      baseUrl: 'http://x',
      signingKey: SIGNING_KEY,
    });
    const large = Buffer.alloc(2 * 1024 * 1024, 1);
    const key = objectKey('default', sha256(large));
    const put = store.put(key, Readable.from([large]), describing(large));
    await expect(put).rejects.toMatchObject({ code: 'STORAGE_FULL' });
    expect(readdirSync(join(mounted, '.incoming'))).toEqual([]);
    expect(await store.head(key)).toBeUndefined();
    await store.put(objectKey('default', sha256(BYTES)), Readable.from([BYTES]), describing(BYTES));
  });
});
