import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import type { Readable } from 'node:stream';
import { AppError } from '../../errors/app-error';
import { errorCode } from '../postgres/client';
import type { ByteRange, ObjectStore, PutOptions } from './store';

export interface S3StoreOptions {
  readonly bucket: string;
  readonly region: string;
  readonly endpoint?: string | undefined;
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

/** Objects in a bucket of S3 or a compatible store, which verifies each SHA-256 itself. */
export function openS3Store(options: S3StoreOptions): ObjectStore {
  const client = new S3Client({
    region: options.region,
    forcePathStyle: true,
    // our own SHA-256 goes with each request; a second checksum would only cost
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
    ...(options.credentials === undefined ? {} : { credentials: options.credentials }),
  });
  const at = (key: string): { Bucket: string; Key: string } => ({ Bucket: options.bucket, Key: key });
  return {
    put: (key, body, put) => translated(() => putObject(client, at(key), { body, put })),
    get: (key, range) => translated(() => getObject(client, at(key), range)),
    head: (key) => translated(() => headObject(client, at(key))),
    delete: (key) =>
      translated(async () => {
        await client.send(new DeleteObjectCommand(at(key)));
      }),
    signPut: async (key, put) => {
      const checksum = Buffer.from(put.digest, 'hex').toString('base64');
      const command = new PutObjectCommand({
        ...at(key),
        ContentLength: put.sizeBytes,
        ChecksumSHA256: checksum,
      });
      const url = await getSignedUrl(client, command, {
        expiresIn: put.expiresSeconds,
        unhoistableHeaders: new Set(['x-amz-checksum-sha256']),
        signableHeaders: new Set(['host', 'content-length', 'x-amz-checksum-sha256']),
      });
      return { url, headers: { 'x-amz-checksum-sha256': checksum } };
    },
    signGet: (key, get) =>
      getSignedUrl(client, new GetObjectCommand(at(key)), { expiresIn: get.expiresSeconds }),
  };
}

interface At {
  readonly Bucket: string;
  readonly Key: string;
}

async function putObject(
  client: S3Client,
  at: At,
  { body, put }: { readonly body: Readable; readonly put: PutOptions },
): Promise<void> {
  await client.send(
    new PutObjectCommand({
      ...at,
      Body: body,
      ContentLength: put.sizeBytes,
      ChecksumSHA256: Buffer.from(put.digest, 'hex').toString('base64'),
    }),
  );
}

async function getObject(client: S3Client, at: At, range?: ByteRange): Promise<Readable | undefined> {
  try {
    const Range = range === undefined ? undefined : `bytes=${range.start}-${range.end - 1}`;
    const answer = await client.send(new GetObjectCommand({ ...at, Range }));
    return answer.Body as Readable;
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    throw error;
  }
}

async function headObject(client: S3Client, at: At): Promise<number | undefined> {
  try {
    return (await client.send(new HeadObjectCommand(at))).ContentLength;
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    throw error;
  }
}

function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined;
  return (error.$metadata as { httpStatusCode?: number }).httpStatusCode;
}

async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const name = error instanceof Error ? error.name : '';
    if (/BadDigest|ChecksumMismatch|InvalidDigest|XAmzContent|IncompleteBody/i.test(name) || statusOf(error) === 400) {
      const message = 'The object store got other bytes than their digest says.';
      throw new AppError('CHECKSUM_MISMATCH', message, { cause: error });
    }
    if (['ECONNREFUSED', 'ENOTFOUND', 'ETIMEDOUT', 'ECONNRESET'].includes(errorCode(error))) {
      const message = 'The object store does not answer.';
      throw new AppError('DEPENDENCY_UNAVAILABLE', message, { cause: error });
    }
    throw error;
  }
}
