import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { createReadStream } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { assertSame, hashed } from './hashing';
import { openIncoming } from './incoming';
import { checkKey } from './keys';
import { statusOf, translated } from './s3-errors';
import type { ByteRange, ObjectStore, PutOptions } from './store';

export interface S3StoreOptions {
  readonly bucket: string;
  readonly region: string;
  /** Unset: AWS itself. */
  readonly endpoint?: string | undefined;
  /** Unset: the default chain of AWS (environment, profile, role of the machine). */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** Where uploads of unknown digest wait: S3 wants the digest before the bytes. */
  readonly spoolDir?: string;
}
/** Longer means a wrong address or a dead host, not a slow network. */
const CONNECT_TIMEOUT_MS = 5_000;
/** Without one byte for this long the peer is gone; a reader that pauses for less is only slow. */
const SOCKET_IDLE_MS = 120_000;

const nothing = (): void => undefined;
/** The SDK writes to the console otherwise; what went wrong is thrown and logged by the api. */
const SILENT = { trace: nothing, debug: nothing, info: nothing, warn: nothing, error: nothing };

/** Objects in a bucket of S3 or a compatible store, which verifies each SHA-256 itself. */
export function openS3Store(options: S3StoreOptions): ObjectStore {
  const client = createClient(options);
  const incoming = openIncoming(options.spoolDir ?? join(tmpdir(), 'anneal-incoming'));
  const at = (key: string): At => ({ Bucket: options.bucket, Key: checkKey(key) });
  const put = (key: string, body: Readable, expected: PutOptions): Promise<void> =>
    translated(() => putObject(client, at(key), { body, expected }));
  return {
    put,
    async receive(body) {
      const { path, discard, digest, sizeBytes } = await incoming.receive(body);
      const publish = (key: string): Promise<void> =>
        put(key, createReadStream(path), { digest, sizeBytes });
      return { digest, sizeBytes, discard, publish };
    },
    get: (key, range) => translated(() => getObject(client, at(key), range)),
    head: (key) => translated(() => headObject(client, at(key))),
    delete: (key) =>
      translated(async () => {
        await client.send(new DeleteObjectCommand(at(key)));
      }),
    signPut: async (key, expected) => {
      const url = await getSignedUrl(client, new PutObjectCommand(toPut(at(key), expected)), {
        expiresIn: expected.expiresSeconds,
        // in the headers, not in the query: so the store checks the bytes, and the length is signed
        unhoistableHeaders: new Set([CHECKSUM_HEADER]),
        signableHeaders: new Set(['host', 'content-length', CHECKSUM_HEADER]),
      });
      return { url, headers: { [CHECKSUM_HEADER]: toBase64(expected.digest) } };
    },
    signGet: (key, { expiresSeconds }) =>
      getSignedUrl(client, new GetObjectCommand(at(key)), { expiresIn: expiresSeconds }),
  };
}

const CHECKSUM_HEADER = 'x-amz-checksum-sha256';

interface At {
  readonly Bucket: string;
  readonly Key: string;
}

function createClient(options: S3StoreOptions): S3Client {
  const { region, endpoint, credentials } = options;
  return new S3Client({
    region,
    // buckets as host names need a wildcard in DNS, which only AWS is sure to have
    forcePathStyle: endpoint !== undefined,
    // our own SHA-256 goes with each request; a second checksum would only cost
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    logger: SILENT,
    requestHandler: { connectionTimeout: CONNECT_TIMEOUT_MS, socketTimeout: SOCKET_IDLE_MS },
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
  });
}

function toBase64(digest: string): string {
  return Buffer.from(digest, 'hex').toString('base64');
}

function toPut(at: At, { digest, sizeBytes }: PutOptions): At & PutHeaders {
  return { ...at, ContentLength: sizeBytes, ChecksumSHA256: toBase64(digest) };
}
interface PutHeaders {
  readonly ContentLength: number;
  readonly ChecksumSHA256: string;
}

async function putObject(
  client: S3Client,
  at: At,
  { body, expected }: { readonly body: Readable; readonly expected: PutOptions },
): Promise<void> {
  const stop = new AbortController();
  const onEnd = (got: PutOptions): void => {
    assertSame(got, expected);
  };
  const checked = Readable.from(hashed(body, { sizeBytesMax: expected.sizeBytes, onEnd }));
  let wrong: Error | undefined;
  // the SDK does not see errors of a body: without this a short one would wait for ever
  checked.once('error', (error) => {
    wrong = error;
    stop.abort();
  });
  try {
    // there already: only the bytes are checked, nothing is sent
    if ((await headObject(client, at)) === expected.sizeBytes) await drain(checked);
    else {
      const request = { ...toPut(at, expected), IfNoneMatch: '*', Body: checked };
      await client.send(new PutObjectCommand(request), { abortSignal: stop.signal });
    }
  } catch (error) {
    if (wrong !== undefined) throw wrong;
    // 412, 409: someone stored the same bytes meanwhile
    const raced = [409, 412].includes(statusOf(error) ?? 0);
    if (!raced || (await headObject(client, at)) !== expected.sizeBytes) throw error;
  } finally {
    checked.destroy();
  }
}

async function drain(stream: Readable): Promise<void> {
  await finished(stream.resume());
}

async function getObject(
  client: S3Client,
  at: At,
  range?: ByteRange,
): Promise<Readable | undefined> {
  if (range !== undefined && range.start >= range.end) return Readable.from([]);
  try {
    const bytes = range === undefined ? {} : { Range: `bytes=${range.start}-${range.end - 1}` };
    const answer = await client.send(new GetObjectCommand({ ...at, ...bytes }));
    return answer.Body as Readable;
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    if (statusOf(error) === 416) return Readable.from([]); // begins behind the end
    throw error;
  }
}

async function headObject(client: S3Client, at: At): Promise<number | undefined> {
  try {
    return (await client.send(new HeadObjectCommand(at))).ContentLength ?? 0;
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    throw error;
  }
}
