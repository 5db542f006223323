import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../dev/ports';
import { findTool } from '../../dev/tools';
import type { S3StoreOptions } from '../../storage/objects/s3';

/** A real S3 server (VersityGW over a temporary folder, below `within`) with one empty bucket. */
export async function startS3(
  within = tmpdir(),
): Promise<{ options: S3StoreOptions; stop(): Promise<void> }> {
  const folder = mkdtempSync(join(within, 'anneal-s3-'));
  mkdirSync(join(folder, 'anneal'));
  const port = await freePort();
  const credentials = { accessKeyId: 'test-access', secretAccessKey: 'test-secret' };
  const child = spawn(
    findTool('versitygw'),
    ['--port', `127.0.0.1:${port}`, '--quiet', 'posix', folder],
    {
      stdio: 'ignore',
      env: {
        PATH: process.env['PATH'],
        ROOT_ACCESS_KEY: credentials.accessKeyId,
        ROOT_SECRET_KEY: credentials.secretAccessKey,
      },
    },
  );
  const endpoint = `http://127.0.0.1:${port}`;
  for (let i = 0; i < 1_200; i += 1) {
    if (
      await fetch(endpoint).then(
        () => true,
        () => false,
      )
    )
      break;
    await sleep(25);
  }
  return {
    options: { bucket: 'anneal', region: 'us-east-1', endpoint, credentials },
    async stop() {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
