import { tmpdir } from 'node:os';
import { parseConfig } from '../../config/config';
import { openObjects } from '../../storage/objects/open';

const KEY = `default/cas/sha256/00/00/${'0'.repeat(64)}`;
const SIGNING_KEY = { ANNEAL_SIGNING_KEY: 'k'.repeat(32), ANNEAL_DATA_DIR: tmpdir() };
const BUCKET = {
  S3_BUCKET: 'models',
  S3_ENDPOINT: 'http://127.0.0.1:9000',
  S3_ACCESS_KEY_ID: 'access',
  S3_SECRET_ACCESS_KEY: 'secret',
};
const urlOf = (environment: Record<string, string>): Promise<string> =>
  openObjects(parseConfig(environment)).signGet(KEY, { expiresSeconds: 60 });

describe('openObjects', () => {
  it('keeps objects in a directory, at URLs of the api', async () => {
    const own = { ...SIGNING_KEY, ANNEAL_PORT: '7401' };
    expect(await urlOf(own)).toMatch(`http://127.0.0.1:7401/objects/${KEY}?expires=`);
    const behindProxy = { ...own, ANNEAL_API: 'https://anneal.example/' };
    expect(await urlOf(behindProxy)).toMatch(`https://anneal.example/objects/${KEY}?expires=`);
  });

  it('keeps them in a bucket if one is named', async () => {
    expect(await urlOf(BUCKET)).toMatch(`http://127.0.0.1:9000/models/${KEY}?X-Amz-`);
    expect(openObjects(parseConfig(BUCKET)).verifyUrl).toBeUndefined();
  });

  it('refuses half of the credentials of a bucket', () => {
    const half = { S3_BUCKET: 'models', S3_ACCESS_KEY_ID: 'access' };
    expect(() => openObjects(parseConfig(half))).toThrow(/are set both or not at all/);
  });

  it('asks for the key that signs URLs', () => {
    expect(() => openObjects(parseConfig({}))).toThrow(/ANNEAL_SIGNING_KEY is not set/);
  });
});
