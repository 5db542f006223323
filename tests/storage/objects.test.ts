import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
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
import type { FullDiskReport } from '../support/full-disk';
import { startS3 } from '../support/versitygw';

const SIGNING_KEY = 'k'.repeat(32);
const BYTES = Buffer.from('the bytes of an object');
/** Bytes that are wrong are 400, rights 403; S3 says 403 of a length and 400 of bad words. */
const REFUSED = [400, 403];
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

  it('stores what is empty', async () => {
    const empty = Buffer.alloc(0);
    const at = objectKey('default', sha256(empty));
    await opened.store.put(at, Readable.from([]), describing(empty));
    expect(await opened.store.head(at)).toBe(0);
    await opened.store.delete(at);
    const signed = await opened.store.signPut(at, { ...describing(empty), expiresSeconds: 60 });
    expect((await uploadTo(signed.url, empty, { ...signed.headers })).status).toBe(200);
    expect(await opened.store.head(at)).toBe(0);
    expect((await buffer((await opened.store.get(at)) ?? Readable.from(['?']))).length).toBe(0);
  });

  it('gives the part of a range that exists', async () => {
    await opened.store.put(key, Readable.from([BYTES]), describing(BYTES));
    expect(await read({ start: 18, end: 1_000 })).toBe('ject');
    expect(await read({ start: BYTES.length, end: 1_000 })).toBe('');
    expect(await read({ start: 5, end: 5 })).toBe('');
    const url = await opened.store.signGet(key, { expiresSeconds: 60 });
    const part = await fetch(url, { headers: { range: 'bytes=4-8' } });
    expect([part.status, await part.text()]).toEqual([206, 'bytes']);
    expect(part.headers.get('content-range')).toBe(`bytes 4-8/${BYTES.length}`);
    const tail = await fetch(url, { headers: { range: 'bytes=-6' } });
    expect(await tail.text()).toBe('object');
  });

  it.each([
    ['too few', BYTES.subarray(1)],
    ['too many', Buffer.concat([BYTES, BYTES])],
    ['no', Buffer.alloc(0)],
  ])('refuses %s bytes, in a stream and at a signed URL', async (_what, other) => {
    const put = opened.store.put(key, Readable.from([other]), describing(BYTES));
    await expect(put).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    const signed = await opened.store.signPut(key, { ...describing(BYTES), expiresSeconds: 60 });
    const answer = await uploadTo(signed.url, other, { ...signed.headers });
    expect([400, 403]).toContain(answer.status); // S3 signs the length: 403
    expect(await opened.store.head(key)).toBeUndefined();
  });

  it('keeps nothing of a stream that breaks', async () => {
    const broken = Readable.from(
      (async function* () {
        yield await Promise.resolve(BYTES.subarray(0, 5));
        throw new Error('the line went dead');
      })(),
    );
    const put = opened.store.put(key, broken, describing(BYTES));
    await expect(put).rejects.toThrow('the line went dead');
    expect(await opened.store.head(key)).toBeUndefined();
  });

  it('checks the bytes of an object that is there already', async () => {
    await opened.store.put(key, Readable.from([BYTES]), describing(BYTES));
    const other = Buffer.from('x'.repeat(BYTES.length));
    const put = opened.store.put(key, Readable.from([other]), describing(BYTES));
    await expect(put).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    expect(await read()).toBe(BYTES.toString());
  });

  it('lets many writers store the same object at once', async () => {
    const puts = Array.from({ length: 8 }, () =>
      opened.store.put(key, Readable.from([BYTES]), describing(BYTES)),
    );
    await Promise.all(puts);
    expect(await read()).toBe(BYTES.toString());
  });

  it('takes a stream of unknown digest and shows it once it is published', async () => {
    const kept = await opened.store.receive(Readable.from([BYTES]));
    expect(kept).toMatchObject(describing(BYTES));
    expect(await opened.store.head(key)).toBeUndefined();
    await kept.publish(key);
    await kept.discard();
    expect(await read()).toBe(BYTES.toString());
    await opened.store.delete(key);
    const dropped = await opened.store.receive(Readable.from([BYTES]));
    await dropped.discard();
    await expect(dropped.publish(key)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it.each(['..', 'a/../b', '/a', 'a//b', 'a/', '', 'a/.incoming/b', 'a\\b', 'a/%2e%2e/b', 'a\0b'])(
    'knows no key %j',
    async (bad) => {
      const store = opened.store;
      const calls = [
        async () => store.put(bad, Readable.from([BYTES]), describing(BYTES)),
        async () => store.get(bad),
        async () => store.head(bad),
        async () => store.delete(bad),
        async () => store.signGet(bad, { expiresSeconds: 60 }),
      ];
      for (const call of calls) {
        await expect(call()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
      }
    },
  );

  it('refuses a URL for reading that was changed or is used for writing', async () => {
    await opened.store.put(key, Readable.from([BYTES]), describing(BYTES));
    const url = await opened.store.signGet(key, { expiresSeconds: 60 });
    expect((await fetch(url)).status).toBe(200);
    for (const changed of tampered(url)) {
      expect(REFUSED).toContain((await fetch(changed)).status);
    }
    expect((await uploadTo(url, BYTES, {})).status).toBe(403);
  });

  it('refuses a URL for writing that was changed or is used for reading', async () => {
    const right = { ...describing(BYTES), expiresSeconds: 60 };
    const { url, headers } = await opened.store.signPut(key, right);
    for (const changed of tampered(url)) {
      expect(REFUSED).toContain((await uploadTo(changed, BYTES, { ...headers })).status);
    }
    expect((await fetch(url)).status).toBe(403);
    expect(await opened.store.head(key)).toBeUndefined();
  });

  it('refuses an expired URL', async () => {
    await opened.store.put(key, Readable.from([BYTES]), describing(BYTES));
    const url = await opened.store.signGet(key, { expiresSeconds: 1 });
    await new Promise((resolve) => setTimeout(resolve, 2_100)); // whole seconds, and one of them
    expect((await fetch(url)).status).toBe(403);
  });
});

/** The URL with each of its parts changed in turn: the key, and every signed value of the query. */
function tampered(url: string): string[] {
  const other = (text: string): string => `${text.slice(0, -1)}${text.endsWith('1') ? '2' : '1'}`;
  const names = [...new URL(url).searchParams.keys()].filter((name) => name !== 'x-id');
  const queries = names.map((name) => {
    const changed = new URL(url);
    changed.searchParams.set(name, other(changed.searchParams.get(name) ?? ''));
    return changed.href;
  });
  const path = new URL(url);
  path.pathname = other(path.pathname);
  return [path.href, ...queries];
}

describe.each(['directory', 's3'])('%s on a full disk', (driver) => {
  it('says STORAGE_FULL, leaves nothing behind, and works on', () => {
    const folder = mkdtempSync(join(tmpdir(), 'anneal-full-'));
    try {
      const { report, why } = runOnFullDisk(driver, folder);
      // without namespaces (macOS, some containers) nobody but root can make a small disk
      expect(why).toBe('');
      const code = 'STORAGE_FULL';
      const expected = { failure: code, received: code, fileSizes: [], large: null, small: 9 };
      expect(report).toEqual(expected);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

/** Runs tests/support/full-disk.ts with a 1 MiB disk that only it can see, root or not. */
function runOnFullDisk(driver: string, folder: string): { report: unknown; why: string } {
  const namespaces = process.getuid?.() === 0 ? '--mount' : '--user --map-root-user --mount';
  const mount = 'mount -t tmpfs -o size=1m tmpfs "$1"';
  const script = `${mount} && exec "$0" --no-warnings -r esbuild-register "$2" "$3" "$1"`;
  const args = [process.execPath, folder, join(__dirname, '../support/full-disk.ts'), driver];
  const unshare = [...namespaces.split(' '), 'sh', '-c', script, ...args];
  const run = spawnSync('unshare', unshare, { encoding: 'utf8' });
  if (run.status === 0) return { report: JSON.parse(run.stdout) as FullDiskReport, why: '' };
  return { report: undefined, why: run.error?.message ?? run.stderr };
}
