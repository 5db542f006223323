import { join } from 'node:path';
import type { Config } from '../../config/config';
import { AppError } from '../../errors/app-error';
import { openDirectoryStore } from './directory';
import { openS3Store } from './s3';
import type { ObjectStore } from './store';

/**
 * The store that the configuration names: S3 if a bucket is set, else a directory below the data
 * folder, whose URLs point to this api. CONFIG_INVALID without ANNEAL_SIGNING_KEY then.
 */
export function openObjects(config: Config): ObjectStore {
  if (config.S3_BUCKET !== undefined) {
    const { S3_ACCESS_KEY_ID: accessKeyId, S3_SECRET_ACCESS_KEY: secretAccessKey } = config;
    if ((accessKeyId === undefined) !== (secretAccessKey === undefined)) {
      const message = 'S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY are set both or not at all.';
      throw new AppError('CONFIG_INVALID', message);
    }
    return openS3Store({
      bucket: config.S3_BUCKET,
      region: config.S3_REGION,
      endpoint: config.S3_ENDPOINT,
      ...(accessKeyId === undefined || secretAccessKey === undefined
        ? {}
        : { credentials: { accessKeyId, secretAccessKey } }),
      spoolDir: join(config.ANNEAL_DATA_DIR, 'incoming'),
    });
  }
  if (config.ANNEAL_SIGNING_KEY === undefined) {
    const message = 'ANNEAL_SIGNING_KEY is not set: give it at least 32 random characters.';
    throw new AppError('CONFIG_INVALID', message);
  }
  return openDirectoryStore({
    root: join(config.ANNEAL_DATA_DIR, 'objects'),
    baseUrl: (config.ANNEAL_API ?? `http://127.0.0.1:${config.ANNEAL_PORT}`).replace(/\/+$/, ''),
    signingKey: config.ANNEAL_SIGNING_KEY,
  });
}
