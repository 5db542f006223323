import { expandGraph } from '../../dag/expand';
import { handlerGraph, handlerSteps, withHandlers } from '../../dag/handlers';
import { ReadyQueue } from '../../dag/ready-queue';
import { scopeFor } from '../../dag/scope';
import { renderText } from '../../dag/template';
import { validatePlan } from '../../dag/validate';
import { isAppError } from '../../errors/app-error';
import { compileYaml } from '../../sdk/pipeline-yaml';

const head =
  'version: 1\nname: p\nparams: { to: ops }\nsteps: { a: { run: x, outputs: { v: value } } }\n';
function problemsOf(text: string): string[] {
  try {
    compileYaml(head + text);
    return [];
  } catch (error) {
    if (!isAppError(error) || error.code !== 'INVALID_PLAN') throw error;
    return error.problems.map(({ path, line, message }) => `${path} (${line ?? 0}) ${message}`);
  }
}

describe('exit handlers', () => {
  const plan = compileYaml(`${head}
defaults: { pool: small, timeout: 5m, cache: true }
on_success:
  - { run: echo done }
on_failure:
  - uses: builtin/notify
    with: { url: "https://example.com/hook", message: "to \${{ params.to }}: \${{ run.reason }}" }
  - name: tell
    run: tell \${{ run.status }} \${{ steps.a.outputs.v }}
    if: run.status == "failed"
    timeout: 1m
always:
  - { name: clean, argv: [rm, -r, tmp], retry: { max: 0 } }
`);

  it('take the defaults, and names where they give none', () => {
    expect(plan.onSuccess).toMatchObject([
      { name: 'step-1', argv: ['echo', 'done'], pool: 'small' },
    ]);
    expect(plan.onFailure).toMatchObject([
      { name: 'notify', uses: 'builtin/notify', timeoutSeconds: 300, needs: [] },
      { name: 'tell', timeoutSeconds: 60, needs: ['a'] },
    ]);
    // they always run, so the default of a cache is not for them
    expect(plan.onFailure?.[1]).not.toHaveProperty('cache');
    expect(plan.always).toMatchObject([{ name: 'clean', retry: { max: 0 } }]);
  });

  it.each([
    ['succeeded', ['on_success.step-1', 'always.clean']],
    ['failed', ['on_failure.notify', 'on_failure.tell', 'always.clean']],
    ['cancelled', ['always.clean']],
  ] as const)('of a run that has %s run in order', (outcome, keys) => {
    const graph = handlerGraph(plan, outcome);
    expect(graph.nodes.map(({ key }) => key)).toEqual(keys);
    expect(handlerSteps(plan, outcome).map(({ name }) => name)).toEqual(keys);
    expect(graph.settings.map(({ step }) => step)).toEqual(keys);
    // one after the other, whatever becomes of those before
    const queue = new ReadyQueue(graph);
    for (const key of keys) {
      expect(queue.take().map((node) => node.key)).toEqual([key]);
      queue.settle(key, 'failed', 'boom');
    }
    expect(queue.done).toBe(true);
  });

  it('know a conditional one and a built-in', () => {
    const { settings } = handlerGraph(plan, 'failed');
    expect(settings.map(({ builtin, conditional }) => [builtin, conditional])).toEqual([
      [true, false],
      [false, true],
      [false, false],
    ]);
  });

  it('stand in the graph behind the steps, as far as they have begun', () => {
    const graph = expandGraph(plan, { to: 'ops' });
    const keysWith = (rows: readonly string[]): string[] =>
      withHandlers(graph, plan, (key) => rows.includes(key)).nodes.map(({ key }) => key);
    expect(keysWith(['a'])).toEqual(['a']);
    expect(keysWith(['a', 'always.clean'])).toEqual(['a', 'always.clean']);
    const failed = ['on_failure.notify', 'on_failure.tell', 'always.clean'];
    expect(keysWith(['a', ...failed])).toEqual(['a', ...failed]);
    const withoutSuccess = { ...plan, onSuccess: undefined };
    const shown = withHandlers(graph, withoutSuccess, (key) => failed.includes(key));
    expect(shown.nodes.map(({ key, index }) => `${index} ${key}`)).toEqual(
      ['a', ...failed].map((key, i) => `${i} ${key}`),
    );
    const last = shown.nodes.at(-1);
    expect(shown.settings[last?.settings ?? 0]?.step).toBe('always.clean');
  });

  it('read how the run ended', () => {
    const [notify] = handlerSteps(plan, 'failed');
    const scope = scopeFor({ to: 'ops' }, undefined, []);
    const ended = { ...scope, run: { status: 'failed', reason: 'a: crash' } };
    expect(renderText(notify?.with?.['message'] as string, ended)).toBe('to ops: a: crash');
  });

  it('may be none at all', () => {
    const bare = compileYaml(`${head}on_failure: []\n`);
    expect(bare).not.toHaveProperty('onFailure');
    expect(handlerGraph(bare, 'failed')).toMatchObject({ nodes: [], settings: [], groups: {} });
  });

  // prettier-ignore
  it.each([
    ['on_failure: { run: x }', 'on_failure (5) must be a list of steps'],
    ['on_failur: []', "on_failur (5) 'on_failur' is not known here. Did you mean 'on_failure'?"],
    ['on_failure: [x]', 'on_failure[0] (5) must be a mapping'],
    ['always:\n  - { run: x }\n  - { run: x, foreach: { i: "[1]" } }', "always[1].foreach (7) 'foreach' is not known here"],
    ['always: [{ run: x, after: [a] }]', "always[0].after (5) 'after' is not known here"],
    ['always: [{ steps: { b: { run: x } } }]', "always[0].steps (5) 'steps' is not known here"],
    ['always: [{ run: x, cache: true }]', "always[0].cache (5) 'cache' is not known here"],
    ['always: [{ run: x, tiemout: 1m }]', "Did you mean 'timeout'?"],
    ['always: [{ run: x, name: Bad }]', 'must begin with a small letter'],
    ['always: [{ run: x, name: b }, { run: y, name: b }]', "always[1] (5) has the name 'b', as one before it"],
    ['always: [{ run: "x ${{ run.stat }}" }]', "always[0].run (5) there is no 'run.stat'. Did you mean 'status'?"],
    ['always: [{ run: "x ${{ run.status.x }}" }]', 'goes into a string, which has no such part'],
    ['always: [{ run: "x ${{ steps.a.outputs.w }}" }]', "step 'a' has no output 'w'. Did you mean 'v'?"],
    ['always: [{ run: "x ${{ steps.b.outputs.w }}" }]', "there is no 'steps.b'"],
    ['always: [{ name: c, run: x }, { run: "x ${{ steps.c.outputs.w }}" }]', "there is no 'steps.c'"],
    ['always: [{ run: x, if: run.status == 1 }]', 'compares a string with a number'],
    ['always: [{ uses: builtin/notify, with: { message: 1 } }]', 'always[0].with.message (5) must be text'],
    ['always: [{ uses: builtin/notify, with: { mesage: x } }]', "Did you mean 'message'?"],
    ['always: [{ uses: builtin/notify, with: { url: "ftp://x" } }]', 'must begin with http:// or https://'],
    ['always: [{ uses: builtin/notif }]', "Did you mean 'builtin/notify'?"],
  ])('explain %s', (text, part) => {
    const problems = problemsOf(`${text}\n`);
    expect(problems).toHaveLength(1);
    expect(problems.join()).toContain(part);
  });

  it('leave their keys to no sub-pipeline, and have no cache', () => {
    const text = 'version: 1\nname: p\nsteps: { always: { steps: { a: { run: x } } } }\n';
    expect(() => compileYaml(text)).toThrow('has the name of the handlers: give it another one');
    const [step] = plan.always ?? [];
    const always = [{ ...step, cache: {} }] as typeof plan.always;
    expect(validatePlan({ ...plan, always })).toEqual([
      { path: 'always[0].cache', message: 'is not possible in a handler: it always runs.' },
    ]);
  });

  it('alone can read the run’s end', () => {
    const text = 'version: 1\nname: p\nsteps: { a: { run: "x ${{ run.status }}" } }\n';
    expect(() => compileYaml(text)).toThrow("'run.status' cannot be read here");
  });
});
