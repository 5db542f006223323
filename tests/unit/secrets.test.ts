import { buildSync } from 'esbuild';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const TOKEN = 'the-token';
let folder: string;
let program: string;
let file: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'anneal-secrets-'));
  file = join(folder, 'token');
  writeFileSync(file, `${TOKEN}\n`, { mode: 0o600 });
  program = join(folder, 'reader.js');
  buildSync({
    stdin: {
      contents: `
        import { loadConfig } from './config/config';
        try {
          const { ANNEAL_NODE_TOKEN: token, ANNEAL_NODE: node } = loadConfig();
          console.log(JSON.stringify({ token, node }));
        } catch (error) {
          console.log(error.code + ': ' + error.message);
        }`,
      resolveDir: join(__dirname, '../..'),
      loader: 'ts',
    },
    bundle: true,
    platform: 'node',
    outfile: program,
  });
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** What a process with these settings and this input says of its configuration. */
function read(env: Record<string, string>, input = ''): string {
  return spawnSync(process.execPath, [program], { env, input, encoding: 'utf8' }).stdout.trim();
}

describe('a secret', () => {
  it('comes from the environment, a file or stdin, each the same', () => {
    const expected = JSON.stringify({ token: TOKEN, node: 'n1' });
    const node = { ANNEAL_NODE: 'n1' };
    expect(read({ ...node, ANNEAL_NODE_TOKEN: TOKEN })).toBe(expected);
    expect(read({ ...node, ANNEAL_NODE_TOKEN_FILE: file })).toBe(expected);
    const sent = JSON.stringify({ ANNEAL_NODE_TOKEN: TOKEN });
    expect(read({ ...node, ANNEAL_SECRETS: 'stdin' }, sent)).toBe(expected);
  });

  it('is not read from stdin unless that is announced', () => {
    expect(read({}, JSON.stringify({ ANNEAL_NODE_TOKEN: TOKEN }))).toBe('{}');
  });

  it('may not come in two ways at once', () => {
    const twice = /^CONFIG_INVALID: ANNEAL_NODE_TOKEN is set as well as ANNEAL_NODE_TOKEN_FILE/;
    expect(read({ ANNEAL_NODE_TOKEN: TOKEN, ANNEAL_NODE_TOKEN_FILE: file })).toMatch(twice);
    const env = { ANNEAL_SECRETS: 'stdin', ANNEAL_NODE_TOKEN_FILE: file };
    expect(read(env, JSON.stringify({ ANNEAL_NODE_TOKEN: TOKEN }))).toMatch(twice);
  });

  it('that cannot be read is named with its file', () => {
    const gone = join(folder, 'gone');
    const said = read({ ANNEAL_NODE_TOKEN_FILE: gone });
    expect(said).toMatch(/^CONFIG_INVALID: ANNEAL_NODE_TOKEN_FILE cannot be read \(ENOENT/);
    expect(said).toContain(gone);
  });

  it.each(['', TOKEN, `["${TOKEN}"]`, `{"ANNEAL_NODE":"${TOKEN}"}`, `{"ANNEAL_NODE_TOKEN":1}`])(
    'is not quoted when stdin holds something else: %j',
    (input) => {
      const said = read({ ANNEAL_SECRETS: 'stdin' }, input);
      expect(said).toMatch(/^CONFIG_INVALID: ANNEAL_SECRETS=stdin, but its stdin does not hold/);
      expect(said).not.toContain(TOKEN);
    },
  );
});
