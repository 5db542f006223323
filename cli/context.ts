import type { Command } from 'commander';
import { loadConfig } from '../config/config';
import { createHttp, type Http } from '../sdk/http';
import type { OutputFormat } from './output';

/** What every command needs: where the api is, and how to print. */
export interface CliContext {
  readonly http: Http;
  readonly api: string;
  readonly format: OutputFormat;
}

interface GlobalOptions {
  readonly api?: string;
  readonly token?: string;
  readonly output: OutputFormat;
}

/** Builds the context from a command's options; a flag wins over the environment. */
export function contextOf(command: Command): CliContext {
  const options = command.optsWithGlobals<GlobalOptions>();
  const config = loadConfig();
  const api = options.api ?? config.ANNEAL_API ?? `http://127.0.0.1:${config.ANNEAL_PORT}`;
  const token = options.token ?? config.ANNEAL_TOKEN;
  return {
    api,
    http: createHttp(token === undefined ? { baseUrl: api } : { baseUrl: api, token }),
    format: options.output,
  };
}
