import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { parseConfig } from '../../config/config';
import { createSender } from '../../workers/notifications';

let receiver: Server;
let url: string;
let seen: number;
beforeAll(async () => {
  receiver = createServer((_, response) => {
    seen += 1;
    response.end();
  }).listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook?secret`;
});
afterAll(() => {
  receiver.close();
});
beforeEach(() => {
  seen = 0;
});
const message = (
  to: string | undefined,
): { url: string | undefined; body: object; key: string } => ({
  url: to,
  body: {},
  key: 'k',
});
const send = (to: string | undefined, hosts: string[] = [], own?: string): Promise<void> =>
  createSender({ url: own, hosts, delaysMs: [1] })({ ...message(to), body: {} });

it('settings name hosts with commas between, and where messages go', () => {
  const given = { ANNEAL_NOTIFY_HOSTS: ' Chat.internal, 10.0.0.5,', ANNEAL_NOTIFY_URL: '' };
  expect(parseConfig(given).ANNEAL_NOTIFY_HOSTS).toEqual(['chat.internal', '10.0.0.5']);
  expect(parseConfig(given).ANNEAL_NOTIFY_URL).toBeUndefined();
  expect(parseConfig({}).ANNEAL_NOTIFY_HOSTS).toEqual([]);
  expect(() => parseConfig({ ANNEAL_NOTIFY_URL: 'ftp://x' })).toThrow('ANNEAL_NOTIFY_URL');
});

describe('a message to the outside', () => {
  it.each([
    ['http://127.0.0.1/x', 'private address'],
    ['http://0x7f.1/x', 'private address'],
    ['http://[::1]/x', 'private address'],
    ['http://[::ffff:10.0.0.1]/x', 'private address'],
    ['http://[fd00::1]/x', 'private address'],
    ['http://169.254.169.254/latest', 'private address'],
    ['http://10.1.2.3/x', 'private address'],
    ['http://localhost/x', 'private address'],
    ['ftp://example.com/x', 'begin the url with http'],
    ['nonsense', 'begin the url with http'],
    ['https://ada:pw@example.com/x', 'holds a login'],
  ])('does not go to %s', async (to, why) => {
    await expect(send(to)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining(why) as string,
    });
  });

  it('goes to a private address that is allowed, or that is the installation’s own', async () => {
    await send(url, ['127.0.0.1']);
    await send(undefined, [], url);
    expect(seen).toBe(2);
    await send(undefined); // to nobody
    expect(seen).toBe(2);
  });

  it('tells who did not answer, without what is secret in the URL', async () => {
    const closed = createServer().listen(0, '127.0.0.1');
    await once(closed, 'listening');
    const { port } = closed.address() as AddressInfo;
    closed.close();
    const sent = send(`http://127.0.0.1:${port}/hook?secret`, ['127.0.0.1']);
    await expect(sent).rejects.toThrow(
      `The message did not get to 127.0.0.1:${port}: connect ECONNREFUSED 127.0.0.1:${port}, 2 times.`,
    );
  });
});
