import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

/** A TCP port on loopback that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** True while someone listens on this port of loopback. */
export async function isPortTaken(port: number): Promise<boolean> {
  const server = createServer();
  const taken = await new Promise<boolean>((resolve) => {
    server.once('error', () => {
      resolve(true);
    });
    server.listen(port, '127.0.0.1', () => {
      resolve(false);
    });
  });
  await new Promise((resolve) => server.close(resolve));
  return taken;
}
