import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkApi } from '../../cli/checks-of-api';
import { checkFolder, checkLock, checkNode, judgeDisk } from '../../cli/checks-of-machine';
import { ANNEAL_VERSION } from '../../cli/version';
import { releaseLock, takeLock } from '../../dev/lock';
import { freePort } from '../../dev/ports';

const GIB = 1024 ** 3;
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'anneal-doctor-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('doctor on this machine', () => {
  it.each([
    ['20.18.9', 'fail'],
    ['18.20.0', 'fail'],
    ['20.19.0', 'ok'],
    ['22.0.0', 'ok'],
  ])('judges Node %s: %s', (version, state) => {
    expect(checkNode(version).state).toBe(state);
  });

  it.each([
    [0.99 * GIB, 0, 0, 'fail'],
    [1.01 * GIB, 0, 0, 'warn'],
    [5.01 * GIB, 0, 0, 'ok'],
    [50 * GIB, 1000, 49, 'warn'],
    [50 * GIB, 1000, 51, 'ok'],
  ])(
    'judges %d free bytes with %d inodes, %d free',
    (...[freeBytes, inodes, inodesFree, state]) => {
      expect(judgeDisk({ freeBytes, inodes, inodesFree }).state).toBe(state);
    },
  );

  it('accepts a data folder that is there or can be made, and no file in its place', () => {
    expect(checkFolder(folder)).toMatchObject({ state: 'ok', message: folder });
    const deep = join(folder, 'a', 'b');
    expect(checkFolder(deep)).toMatchObject({ state: 'ok', message: `${deep} will be made` });
    writeFileSync(join(folder, 'file'), '');
    expect(checkFolder(join(folder, 'file', 'x')).state).toBe('fail');
  });

  it('tells a running stack from none', () => {
    expect(checkLock(folder)).toMatchObject({ message: 'does not run on this folder' });
    takeLock(folder);
    expect(checkLock(folder)).toMatchObject({ state: 'ok', message: `runs on ${folder}` });
    releaseLock(folder);
  });
});

describe('doctor at the address of the api', () => {
  let server: Server | undefined;
  afterEach(async () => {
    await new Promise((resolve) => {
      if (server === undefined) resolve(0);
      else server.close(resolve);
    });
    server = undefined;
  });

  async function listen(program: Server): Promise<string> {
    server = program;
    await new Promise<void>((resolve) => program.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(program.address() as AddressInfo).port}`;
  }
  const serve = (listener: RequestListener): Promise<string> => listen(createServer(listener));

  it('demands an api only where one is named', async () => {
    const api = `http://127.0.0.1:${await freePort()}`;
    const states = async (isApiGiven: boolean): Promise<string[]> =>
      (await checkApi({ api, isApiGiven, token: undefined })).map(({ state }) => state);
    expect(await states(false)).toEqual(['warn']);
    expect(await states(true)).toEqual(['fail']);
  });

  it('sees a program that speaks no HTTP in the way', async () => {
    const api = await listen(
      createTcpServer((socket) => {
        socket.destroy();
      }),
    );
    const [check] = await checkApi({ api, isApiGiven: false, token: undefined });
    expect(check?.state).toBe('fail');
    expect(check?.message).toContain('another program holds port');
  });

  it('tells another web server from the api', async () => {
    const api = await serve((_, response) => response.end('<html>'));
    const checks = await checkApi({ api, isApiGiven: true, token: undefined });
    expect(checks).toHaveLength(1);
    expect(checks[0]?.state).toBe('fail');
    expect(checks[0]?.message).toContain("is not Anneal's api");
  });

  it('reports a broken part, another version, a wrong clock and a refused token', async () => {
    const parts = [
      { name: 'postgres', ok: true, message: 'version 18' },
      { name: 'temporal', ok: false, message: 'no answer within 3 s' },
    ];
    const api = await serve((request, response) => {
      response.setHeader('date', new Date(Date.now() - 60_000).toUTCString());
      response.statusCode = request.url === '/api/v1/status' ? 200 : 401;
      response.end(JSON.stringify({ version: `${ANNEAL_VERSION}-other`, parts }));
    });
    const checks = await checkApi({ api, isApiGiven: true, token: 'wrong' });
    expect(Object.fromEntries(checks.map(({ name, state }) => [name, state]))).toEqual({
      api: 'ok',
      version: 'warn',
      clock: 'warn',
      access: 'fail',
      postgres: 'ok',
      temporal: 'fail',
    });
    expect(checks.find(({ name }) => name === 'clock')?.message).toMatch(
      /^\d+ s ahead of the api$/,
    );
    expect(checks.filter(({ state, advice }) => state !== 'ok' && advice === '')).toEqual([]);
  });
});
