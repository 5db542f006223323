import { existsSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StepOutcome } from '../../steps/attempt';
import { openStepLab, runStep, shell, until, type StepLab } from '../support/step-lab';

/** Each bundle holds one file of so many bytes, and two of them fit. */
const FILE_BYTES = 1_000;
const BYTES_MAX = 2_500;
let lab: StepLab;
beforeEach(async () => {
  lab = await openStepLab();
  lab = { ...lab, node: { ...lab.node, codeCacheBytesMax: BYTES_MAX } };
});
afterEach(async () => {
  await lab.close();
});

/** Begins a run whose code is a file of one letter. */
async function begin(letter: string, script = 'head -c 1 data.txt'): Promise<string> {
  const files = { 'data.txt': letter.repeat(FILE_BYTES) };
  return (await lab.begin(shell(script, { env: { FOLDER: lab.folder } }), { files })).runId;
}
async function run(letter: string): Promise<StepOutcome> {
  return runStep(lab, await begin(letter));
}
/** The digests that the node keeps. */
function kept(): string[] {
  return readdirSync(join(lab.node.folder, 'code')).sort();
}
/** The digest that came last; a minute passes, so that the order of use is plain. */
async function runLater(letter: string): Promise<string> {
  const before = existsSync(join(lab.node.folder, 'code')) ? kept() : [];
  for (const digest of before) age(digest);
  expect(await run(letter)).toMatchObject({ kind: 'succeeded' });
  return kept().find((digest) => !before.includes(digest)) ?? '';
}
const AGES = new Map<string, number>();
function age(digest: string): void {
  const seconds = (AGES.get(digest) ?? Math.floor(Date.now() / 1000)) - 60;
  AGES.set(digest, seconds);
  utimesSync(join(lab.node.folder, 'code', digest), seconds, seconds);
}

describe('the code cache of a node', () => {
  it('lets go what was used longest ago when a new bundle does not fit', async () => {
    const a = await runLater('a');
    const b = await runLater('b');
    expect(kept()).toEqual([a, b].sort());
    AGES.delete(a); // used again, it becomes the newest
    await runLater('a');
    AGES.set(a, Math.floor(Date.now() / 1000));
    const c = await runLater('c');
    expect(kept()).toEqual([a, c].sort());
  });

  it('fetches again what it let go', async () => {
    for (const letter of ['a', 'b', 'c']) await runLater(letter);
    const runId = await begin('a');
    expect(await runStep(lab, runId)).toMatchObject({ kind: 'succeeded' });
    expect(await lab.logs(runId)).toEqual(['stdout: a']);
    expect(kept()).toHaveLength(2);
  });

  it('runs a step whose code alone is larger than the limit', async () => {
    lab = { ...lab, node: { ...lab.node, codeCacheBytesMax: 0 } };
    const a = await runLater('a');
    expect(kept()).toEqual([a]); // it was in use
    const b = await runLater('b');
    expect(kept()).toEqual([b]);
  });

  it('serves many attempts at once while each drives out the others', async () => {
    lab = { ...lab, node: { ...lab.node, codeCacheBytesMax: 0 } };
    const letters = ['a', 'b', 'c', 'd', 'a', 'b', 'c', 'd'];
    const runIds = await Promise.all(letters.map((letter) => begin(letter)));
    const ends = await Promise.all(runIds.map((runId) => runStep(lab, runId)));
    expect(ends.map(({ kind }) => kind)).toEqual(letters.map(() => 'succeeded'));
    const said = await Promise.all(runIds.map((runId) => lab.logs(runId)));
    expect(said).toEqual(letters.map((letter) => [`stdout: ${letter}`]));
  });

  it('does not touch the working folder of a step that runs', async () => {
    const script =
      'touch "$FOLDER/begun"; while [ ! -e "$FOLDER/go" ]; do sleep 0.05; done; head -c 1 data.txt';
    const runId = await begin('x', script);
    const outcome = runStep(lab, runId);
    await until(() => existsSync(join(lab.folder, 'begun')));
    for (const letter of ['a', 'b', 'c']) await runLater(letter);
    writeFileSync(join(lab.folder, 'go'), '');
    expect(await outcome).toMatchObject({ kind: 'succeeded' });
    expect(await lab.logs(runId)).toEqual(['stdout: x']);
  });
});
