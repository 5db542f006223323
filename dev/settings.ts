import { randomBytes, randomInt } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createToken } from '../api/auth/tokens';
import { environment } from '../config/config';
import { AppError } from '../errors/app-error';
import { freePort, isPortTaken } from './ports';

/** Where everything of one stack is, and what its parts know each other by. */
export interface DevSettings {
  readonly dataDir: string;
  readonly ports: Ports;
  readonly secrets: Secrets;
  /** Parts that run elsewhere: they are used, not started. */
  readonly external: { readonly databaseUrl?: string; readonly temporalAddress?: string };
}
interface Ports {
  readonly api: number;
  readonly postgres: number;
  readonly temporal: number;
  readonly temporalUi: number;
  readonly temporalHttp: number; // closed to everyone
  /**
   * Where Temporal's web UI listens. It starts workflows for whoever reaches it and answers to any name,
   * so a page that has its name resolve to this machine (DNS rebinding) must not find it: one of the 16
   * million loopback addresses that Linux has. Elsewhere there is only 127.0.0.1.
   */
  readonly temporalUiHost: string;
}
interface Secrets {
  readonly signingKey: string;
  readonly nodeToken: string;
}

/** Reads or makes the ports and secrets of a data folder; INVALID_STATE if the port of the api is taken. */
export async function openSettings(dataDir: string, port: number): Promise<DevSettings> {
  const { DATABASE_URL: databaseUrl, TEMPORAL_ADDRESS: temporal } = environment();
  return {
    dataDir,
    ports: await choosePorts(join(dataDir, 'ports.json'), port),
    secrets: readSecrets(join(dataDir, 'secrets.json')),
    external: {
      ...(databaseUrl !== undefined && databaseUrl !== '' && { databaseUrl }),
      ...(temporal !== undefined && temporal !== '' && { temporalAddress: temporal }),
    },
  };
}

/** The ports of the last time while they are free: open pages and scripts stay valid. */
async function choosePorts(file: string, port: number): Promise<Ports> {
  const known = (readKept(file) ?? {}) as Partial<Ports>;
  const keep = async (name: Exclude<keyof Ports, 'temporalUiHost'>): Promise<number> => {
    const last = known[name];
    return last === undefined || (await isPortTaken(last)) ? freePort() : last;
  };
  if (port !== 0 && (await isPortTaken(port))) {
    const message = `Port ${port} is in use by another program.`;
    throw new AppError('INVALID_STATE', `${message} Stop it, or choose another port with --port.`);
  }
  const ports = {
    api: port === 0 ? await keep('api') : port,
    postgres: await keep('postgres'),
    temporal: await keep('temporal'),
    temporalUi: await keep('temporalUi'),
    temporalHttp: await keep('temporalHttp'),
    temporalUiHost: known.temporalUiHost ?? randomLoopback(),
  };
  writeKept(file, ports);
  return ports;
}

function readSecrets(file: string): Secrets {
  const known = readKept(file) as Secrets | undefined;
  if (known !== undefined) return known;
  const secrets = {
    signingKey: randomBytes(32).toString('hex'),
    nodeToken: createToken('node').text,
  };
  writeKept(file, secrets);
  return secrets;
}

function randomLoopback(): string {
  if (process.platform !== 'linux') return '127.0.0.1';
  const part = (): number => randomInt(1, 255);
  return `127.${part()}.${part()}.${part()}`;
}

function readKept(file: string): unknown {
  if (!existsSync(file)) return undefined;
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    const message = `${file} is not JSON: something else has written to it. Remove it; what it held is made anew.`;
    throw new AppError('CONFIG_INVALID', message, { cause });
  }
}

/** Whole or not at all, and for the owner's eyes only. */
function writeKept(file: string, value: unknown): void {
  writeFileSync(`${file}.new`, JSON.stringify(value), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
