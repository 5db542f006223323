import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { loadConfig } from '../config/config';
import { requireArgument } from '../errors/app-error';
import { createHttp, type Http } from '../sdk/http';
import type { OutputFormat } from './output';

/** What every command needs: where the api is, and how to print. */
export interface CliContext {
  readonly http: Http;
  readonly api: string;
  /** The api was named by a flag or the environment, so it is meant to be there. */
  readonly isApiGiven: boolean;
  readonly token: string | undefined;
  readonly format: OutputFormat;
  /** A command as a person can type it to reach the same api. */
  readonly hint: (command: string) => string;
}

interface GlobalOptions {
  readonly api?: string;
  readonly token?: string;
  readonly output: OutputFormat;
}

/** A short restart of the api is bridged; a person who waits longer wants to know why. */
const PATIENCE_MS = 2_000;

/** Builds the context from a command's options; a flag wins over the environment. */
export function contextOf(command: Command): CliContext {
  const options = command.optsWithGlobals<GlobalOptions>();
  const config = loadConfig();
  const given = options.api ?? config.ANNEAL_API;
  const api = given ?? `http://127.0.0.1:${config.ANNEAL_PORT}`;
  requireArgument(
    URL.canParse(api) && /^https?:$/.test(new URL(api).protocol),
    `'${api}' is not the address of an api: write it as http://HOST:PORT.`,
  );
  const token = options.token ?? config.ANNEAL_TOKEN;
  const flag = options.api === undefined ? '' : ` --api ${options.api}`;
  return {
    api,
    isApiGiven: given !== undefined,
    token,
    http: createHttp({
      baseUrl: api,
      patienceMs: () => PATIENCE_MS,
      ...(token === undefined ? {} : { token }),
    }),
    format: options.output,
    hint: (text) => `anneal ${text}${flag}`,
  };
}

/** Parses the value of a flag as a whole number between two bounds. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };
}

/** Where the api keeps one pipeline run. */
export function pathOfRun(id: string): string {
  return `/api/v1/pipeline-runs/${encodeURIComponent(id)}`;
}

/** Where the api keeps one deployed pipeline. */
export function pathOfPipeline(name: string): string {
  return `/api/v1/pipelines/${encodeURIComponent(name)}`;
}
