import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Card } from '../../schemas/cards';
import { createHttp } from '../../sdk/http';
import { openStepLab, runStep, shell, until, type StepLab } from '../support/step-lab';
import { plan, step } from '../support/plans';

const MIB = 1024 * 1024;
let lab: StepLab;
beforeAll(async () => {
  lab = await openStepLab();
});
afterAll(async () => {
  await lab.close();
});

function pathOf(runId: string, name = ''): string {
  return `/api/v1/pipeline-runs/${runId}/steps/train/cards${name}`;
}
async function cardsOf(runId: string): Promise<Card[]> {
  return (await lab.user.get<{ cards: Card[] }>(pathOf(runId))).cards;
}
function read(runId: string, name: string): Promise<Response> {
  return fetch(lab.node.api + pathOf(runId, `/${name}`));
}
async function notesOf(runId: string): Promise<string[]> {
  return (await lab.logs(runId)).filter((line) => line.startsWith('anneal: the card'));
}

describe('the cards of a step', () => {
  it('are shown while it runs, and as it left them', async () => {
    const go = join(lab.folder, 'go');
    const script = `
      cd "$ANNEAL_CARD_DIR"
      echo '# half of it' > .r && mv .r report.md
      while [ ! -e "$GO" ]; do sleep 0.05; done
      echo '# all <script>alert(1)</script>' > .r && mv .r report.md
      echo '{"loss": [0.5, 0.25]}' > curve.json`;
    const { runId } = await lab.begin(shell(script, { env: { GO: go } }));
    const outcome = runStep(lab, runId);
    await until(async () => (await cardsOf(runId)).length > 0);
    expect(await (await read(runId, 'report.md')).text()).toBe('# half of it\n');
    writeFileSync(go, '');
    expect(await outcome).toMatchObject({ kind: 'succeeded' });
    const updatedAt = expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string;
    expect(await cardsOf(runId)).toEqual([
      { attempt: 1, name: 'curve.json', sizeBytes: 22, updatedAt },
      { attempt: 1, name: 'report.md', sizeBytes: 32, updatedAt },
    ]);
    const report = await read(runId, 'report.md');
    expect(await report.text()).toBe('# all <script>alert(1)</script>\n');
    expect(report.headers.get('content-type')).toBe('text/markdown; charset=utf-8');
    expect(report.headers.get('x-content-type-options')).toBe('nosniff');
    expect(report.headers.get('content-security-policy')).toBe("default-src 'none'; sandbox");
    const curve = await read(runId, 'curve.json');
    expect(curve.headers.get('content-type')).toMatch(/^application\/json/);
    expect(await curve.json()).toEqual({ loss: [0.5, 0.25] });
    expect(await notesOf(runId)).toEqual([]);
  });

  it('of each attempt are kept, also when it fails; the newest is read first', async () => {
    const script = `echo "attempt $ANNEAL_ATTEMPT" > "$ANNEAL_CARD_DIR/a.md"; exit 1`;
    const { runId } = await lab.begin(shell(script));
    await runStep(lab, runId);
    expect(await runStep(lab, runId, { attempt: 2 })).toMatchObject({ kind: 'failed' });
    expect((await cardsOf(runId)).map(({ attempt }) => attempt)).toEqual([2, 1]);
    expect(await (await read(runId, 'a.md')).text()).toBe('attempt 2\n');
    expect(await (await read(runId, 'a.md?attempt=1')).text()).toBe('attempt 1\n');
  });

  it.each([
    [
      'a name with a blank',
      'echo x > "my report.md"',
      'my report.md is not kept: its name must be',
    ],
    ['another kind', 'echo x > page.html', 'page.html is not kept: its name must be'],
    [
      'a byte too many',
      `head -c ${MIB + 1} /dev/zero > big.md`,
      'big.md is not kept: it is larger',
    ],
    [
      'half of its JSON',
      `echo '{"a": ' > half.json`,
      'half.json is not kept: it is not valid JSON',
    ],
    ['a link', 'ln -s /etc/hostname link.md', 'link.md is not kept: it is a link'],
    ['a pipe', 'mkfifo pipe.md', 'pipe.md is not kept: it cannot be read'],
  ])('that cannot be kept are no failure: %s', async (...[, script, note]) => {
    const { runId } = await lab.begin(shell(`cd "$ANNEAL_CARD_DIR"; ${script}`));
    expect(await runStep(lab, runId)).toMatchObject({ kind: 'succeeded' });
    expect(await notesOf(runId)).toEqual([expect.stringContaining(note)]);
    expect(await cardsOf(runId)).toEqual([]);
  });

  it('are ten at most, of a whole MiB each', async () => {
    const script = `
      cd "$ANNEAL_CARD_DIR"
      for i in 0 1 2 3 4 5 6 7 8 9 a; do echo $i > $i.md; done
      head -c ${MIB} /dev/zero | tr '\\0' x > 0.md`;
    const { runId } = await lab.begin(shell(script));
    await runStep(lab, runId);
    const cards = await cardsOf(runId);
    expect(cards.map(({ name }) => name)).toEqual('0123456789'.split('').map((i) => `${i}.md`));
    expect(cards[0]?.sizeBytes).toBe(MIB);
    expect(await notesOf(runId)).toEqual([expect.stringContaining('a.md is not kept: a step may')]);
  });

  it('are those of the step that did the work where a result was there already', async () => {
    const { runId: from } = await lab.begin(shell('echo done > "$ANNEAL_CARD_DIR/a.md"'));
    await runStep(lab, from);
    const { runId } = await lab.begin(shell('true'));
    const reuse = `UPDATE steps SET reused_run_id = $1, reused_step_key = key WHERE run_id = $2`;
    await lab.db.postgres.query(reuse, [from, runId]);
    expect(await cardsOf(runId)).toEqual(await cardsOf(from));
    expect(await (await read(runId, 'a.md')).text()).toBe('done\n');
  });

  it('hide secrets', async () => {
    process.env['ANNEAL_SECRET_CARD_KEY'] = 'hunter2-and-more';
    const script = 'echo "key $CARD_KEY" > "$ANNEAL_CARD_DIR/a.md"';
    const { runId } = await lab.begin(shell(script, { secrets: ['CARD_KEY'] }));
    await runStep(lab, runId);
    delete process.env['ANNEAL_SECRET_CARD_KEY'];
    expect(await (await read(runId, 'a.md')).text()).toBe('key ***\n');
  });

  it('come from Python and from TypeScript', async () => {
    const python = `
import anneal_step as step
step.card("said", "# é")
step.card("table", {"rows": [1, 2]})
`;
    const typescript = `
import { step } from 'anneal';
import { z } from 'zod';
export const train = step({
  in: z.object({}),
  out: z.object({}),
  run(_input, ctx) {
    ctx.card('said', '# é');
    ctx.card('table', { rows: [1, 2] });
    return {};
  },
});`;
    const helper = readFileSync(join(__dirname, '../../sdk/python/anneal_step.py'), 'utf8');
    const files = { 'anneal_step.py': helper, 'train.py': python, 'train.ts': typescript };
    for (const how of [{ argv: ['python3', 'train.py'] }, { uses: './train.ts#train' }]) {
      const { runId } = await lab.begin(plan([step('train', how)]), { files });
      expect(await runStep(lab, runId)).toMatchObject({ kind: 'succeeded' });
      expect(await (await read(runId, 'said.md')).text()).toBe('# é');
      expect(await (await read(runId, 'table.json')).json()).toEqual({ rows: [1, 2] });
    }
  });
});

describe('the api refuses', () => {
  it.each([
    ['a card that no step wrote', 'a.md', 404],
    ['a name that leads elsewhere', '..%2Fa.md', 400],
    ['a name of another kind', 'a.html', 400],
  ])('%s', async (...[, name, status]) => {
    const { runId } = await lab.begin(shell('true'));
    expect((await read(runId, name)).status).toBe(status);
  });

  it('to list the cards of a step that is not there', async () => {
    const path = `/api/v1/pipeline-runs/none/steps/train/cards`;
    await expect(lab.user.get(path)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('what the process itself sends and the node would not, and keeps nothing', async () => {
    const out = join(lab.folder, 'token');
    const go = join(lab.folder, 'end');
    const script = `
      printf %s "$MLFLOW_TRACKING_TOKEN" > "$OUT.tmp" && mv "$OUT.tmp" "$OUT"
      while [ ! -e "$GO" ]; do sleep 0.05; done`;
    const { runId } = await lab.begin(shell(script, { env: { OUT: out, GO: go } }));
    const outcome = runStep(lab, runId);
    await until(() => existsSync(out));
    const self = createHttp({ baseUrl: lab.node.api, token: readFileSync(out, 'utf8') });
    const send = (name: string, text: string): Promise<unknown> =>
      self.post('/api/v1/attempts/self/cards', { name, text });
    // three bytes each
    await expect(send('a.md', '€'.repeat(MIB / 2))).rejects.toMatchObject({ code: 'TOO_LARGE' });
    await expect(send('a.json', '{')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(send('a.html', 'x')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(await cardsOf(runId)).toEqual([]);
    const sends = '0123456789abcde'.split('').map((i) => send(`${i}.md`, i));
    const ends = await Promise.allSettled(sends);
    expect(ends.filter(({ status }) => status === 'fulfilled')).toHaveLength(10);
    expect(await cardsOf(runId)).toHaveLength(10);
    const begin = createHttp({ baseUrl: lab.node.api, token: lab.node.token });
    await begin.post('/api/v1/attempts', { runId, stepKey: 'train', attempt: 2, node: 'n1' });
    await expect(send('0.md', 'late')).rejects.toMatchObject({
      code: expect.stringMatching(/ATTEMPT_SUPERSEDED|UNAUTHENTICATED/) as string,
    });
    writeFileSync(go, '');
    await outcome.catch(() => undefined); // it was replaced
  });
});
