import { stat } from 'node:fs/promises';
import { openOwned } from '../sdk/uploads';

/** A JSON file that a step's process writes for us. */
export interface ContractFile {
  readonly file: string;
  /** The only user whose file is read; everyone's if undefined. */
  readonly owner: number | undefined;
  /** How people know it: the variable of the contract. */
  readonly name: string;
  /** What it must hold, for whoever wrote something else. */
  readonly example: string;
  readonly bytesMax: number;
}
/** What such a file holds, or what is wrong with it and what to do. */
export type ContractJson = { readonly value: Readonly<Record<string, unknown>> } | Problem;
interface Problem {
  readonly problem: string;
  /** True if the next moment may cure it: it was read while it was written. */
  readonly mayBeHalf: boolean;
}

/** Reads the JSON object of a contract file; undefined if there is no file. Never throws for its contents. */
export async function readContractFile(contract: ContractFile): Promise<ContractJson | undefined> {
  const { file, owner, bytesMax } = contract;
  const info = await stat(file).catch(() => undefined);
  if (info === undefined) return undefined;
  // opening a pipe would wait for whoever writes into it
  if (!info.isFile()) return wrong(contract, 'is not a file');
  if (info.size > bytesMax) {
    return wrong(contract, `is larger than ${bytesMax / 1024} KiB; leave out what is not needed`);
  }
  const text = await readOwned(file, owner).catch(() => undefined);
  if (text === undefined) return wrong(contract, 'cannot be read; check its permissions');
  try {
    const value: unknown = JSON.parse(text);
    const isObject = value !== null && typeof value === 'object' && !Array.isArray(value);
    return isObject ? { value: value as never } : wrong(contract, 'holds no JSON object');
  } catch (error) {
    return { ...wrong(contract, whyNoJson(text, error)), mayBeHalf: true };
  }
}

async function readOwned(file: string, owner: number | undefined): Promise<string> {
  const handle = await openOwned(file, owner);
  return handle.readFile('utf8').finally(() => handle.close());
}

/** `problem` with the file's name before it and what it must hold behind it. */
export function wrong({ name, example }: ContractFile, what: string): Problem {
  const problem = `${name} ${what}. Write one JSON object such as ${example}, best under another name first, then rename it.`;
  return { problem, mayBeHalf: false };
}

function whyNoJson(text: string, error: unknown): string {
  if (text.trim() === '') return 'is empty';
  // Python's json module writes them unless told otherwise
  if (/[:[,\s](NaN|-?Infinity)\b/.test(text)) {
    return 'is not valid JSON: JSON has no NaN and no Infinity; write null or text instead';
  }
  const why = error instanceof SyntaxError ? `: ${error.message}` : '';
  return `is not valid JSON${why}`;
}
