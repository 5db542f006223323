import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { AppError } from '../errors/app-error';

type Environment = Readonly<Record<string, string | undefined>>;

/** The settings that hold a secret. Each may come from a file as well: `NAME_FILE` is its path. */
export const SECRETS = [
  'ANNEAL_TOKEN',
  'ANNEAL_NODE_TOKEN',
  'ANNEAL_ADMIN_TOKEN',
  'ANNEAL_SIGNING_KEY',
  'DATABASE_URL',
  'CLICKHOUSE_URL',
  'TEMPORAL_API_KEY',
  'ANNEAL_NOTIFY_URL',
  'S3_ACCESS_KEY_ID',
  'S3_SECRET_ACCESS_KEY',
] as const;
/** What a step worker gives to steps that ask for it: ANNEAL_SECRET_HF_TOKEN is the secret HF_TOKEN. */
const OF_STEPS = 'ANNEAL_SECRET_';
const Secrets = z.record(z.string().refine(isSecret), z.string());
type Secrets = z.infer<typeof Secrets>;

function isSecret(name: string): boolean {
  const isOfSteps = name.startsWith(OF_STEPS) && !name.endsWith('_FILE');
  return isOfSteps || (SECRETS as readonly string[]).includes(name);
}

const STDIN = 0;

/**
 * The secrets that do not stand in the environment: what ANNEAL_SECRETS=stdin announces (one JSON
 * object, to the end of the input) and what NAME_FILE points to. A process's environment can be read
 * by every process of the same user as long as it lives, even if it was changed since.
 */
export function readSecrets(environment: Environment): Secrets {
  const from = environment['ANNEAL_SECRETS'] === 'stdin' ? readStdin() : {};
  const files = SECRETS.flatMap((name) => {
    const file = environment[`${name}_FILE`] ?? '';
    if (file === '') return [];
    const isTwice = (environment[name] ?? '') !== '' || from[name] !== undefined;
    if (isTwice) throw invalid(`${name} is set as well as ${name}_FILE: unset one of them.`);
    return [[name, readSecretFile(name, file)] as const];
  });
  return { ...from, ...Object.fromEntries(files) };
}

/** An environment without its secrets, and those: what a child gets, and what it gets by its stdin. */
export function splitSecrets(environment: Readonly<Record<string, string>>): {
  readonly env: Record<string, string>;
  readonly secrets: Record<string, string>;
} {
  const entries = Object.entries(environment);
  return {
    env: Object.fromEntries(entries.filter(([name]) => !isSecret(name))),
    secrets: Object.fromEntries(entries.filter(([name]) => isSecret(name))),
  };
}

/** The variables of an environment that hold secrets of steps, or name files of them. */
export function pickStepSecrets(environment: Environment): Record<string, string> {
  const entries = Object.entries(environment).flatMap(([name, value = '']) =>
    name.startsWith(OF_STEPS) && value !== '' ? [[name, value] as const] : [],
  );
  return Object.fromEntries(entries);
}

/** The value of a step's secret, read anew from its file each time; undefined if this node has none. */
export function readStepSecret(environment: Environment, name: string): string | undefined {
  const variable = OF_STEPS + name;
  const file = environment[`${variable}_FILE`] ?? '';
  if (file !== '') return readSecretFile(variable, file);
  const value = environment[variable] ?? '';
  return value === '' ? undefined : value;
}

function readStdin(): Secrets {
  try {
    return Secrets.parse(JSON.parse(readFileSync(STDIN, 'utf8')));
  } catch {
    // the cause may quote what was sent
    const expected = `one JSON object such as {"ANNEAL_NODE_TOKEN":"…"}, of ${SECRETS.join(', ')}`;
    throw invalid(`ANNEAL_SECRETS=stdin, but its stdin does not hold ${expected}.`);
  }
}

function readSecretFile(name: string, file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw invalid(`${name}_FILE cannot be read (${why}): name a file that this user may read.`);
  }
}

function invalid(message: string): AppError {
  return new AppError('CONFIG_INVALID', message);
}
