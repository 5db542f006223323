import { z } from 'zod';
import { renderTriggerParams } from '../../dag/trigger-params';
import { isAppError } from '../../errors/app-error';
import { Triggers } from '../../schemas/triggers';
import { pipeline } from '../../sdk/pipeline';
import { compileYamlFile } from '../../sdk/pipeline-yaml';
import { planToYaml } from '../../sdk/plan-yaml';
import type { OnOptions } from '../../sdk/trigger-options';

const STEPS = 'params: { ref: main, n: 1 }\nsteps: { a: { run: x } }\n';
function read(on: string): Triggers {
  return compileYamlFile(`version: 1\nname: p\n${on}\n${STEPS}`).triggers;
}
function problems(on: string): string[] {
  try {
    read(on);
    return [];
  } catch (error) {
    if (!isAppError(error)) throw error;
    return error.problems.map(({ path, message, line }) => `${line ?? 0} ${path} ${message}`);
  }
}
function built(on: OnOptions): Triggers {
  const params = z.object({ ref: z.string().default('main'), n: z.number().default(1) });
  return pipeline('p', { params, on }, (_params, s) => {
    s.command('a', { argv: ['x'] });
  }).compileFile().triggers;
}

const DAILY = { cron: '0 3 * * *', timezone: 'UTC', overlap: 'skip' } as const;
const UNLESS_TOLD = { ...DAILY, catchUpSeconds: 3600, jitterSeconds: 0 };

const VERSION = { name: 'digits', params: { n: 'event.version' } };
const DATASET = { pipeline: 'churn', step: 'prepare', output: 'table' };

describe("a pipeline's on", () => {
  it('is beside the plan, whose id does not change with it', () => {
    const plain = compileYamlFile(`version: 1\nname: p\n${STEPS}`);
    const scheduled = compileYamlFile(`version: 1\nname: p\non: { schedule: "@daily" }\n${STEPS}`);
    expect(scheduled.plan).toEqual(plain.plan);
    expect(plain.triggers).toEqual({});
    expect(read('on:')).toEqual({});
  });

  const whole = { every: '90m', timezone: 'Asia/Tokyo', overlap: 'buffer-one' } as const;
  it.each<[string, [string, OnOptions], Triggers]>([
    [
      'a cron',
      ['on: { schedule: "0 3 * * *" }', { schedule: '0 3 * * *' }],
      { schedule: UNLESS_TOLD },
    ],
    [
      'all of a schedule',
      [
        'on: { schedule: { every: 90m, timezone: Asia/Tokyo, overlap: buffer-one, catch_up: 2d, jitter: 0s } }',
        { schedule: { ...whole, catchUp: '2d', jitter: '0s' } },
      ],
      {
        schedule: {
          ...{ everySeconds: 5400, timezone: 'Asia/Tokyo', overlap: 'buffer-one' },
          ...{ catchUpSeconds: 172_800, jitterSeconds: 0 },
        },
      },
    ],
    ['a webhook', ['on: { webhook: true }', { webhook: true }], { webhook: { params: {} } }],
    [
      'a webhook with params',
      [
        'on: { webhook: { params: { ref: body.ref, n: 2 } } }',
        { webhook: { params: { ref: 'body.ref', n: 2 } } },
      ],
      { webhook: { params: { ref: 'body.ref', n: '2' } } },
    ],
    [
      'a version of a model',
      ['on: { model: { name: digits, params: { n: event.version } } }', { model: VERSION }],
      { models: [{ ...VERSION, event: 'version' }] },
    ],
    [
      'an alias and any alias',
      [
        'on: { model: [{ name: digits, alias: champion }, { name: other, event: alias }] }',
        {
          model: [
            { name: 'digits', alias: 'champion' },
            { name: 'other', event: 'alias' },
          ],
        },
      ],
      {
        models: [
          { name: 'digits', event: 'alias', alias: 'champion', params: {} },
          { name: 'other', event: 'alias', params: {} },
        ],
      },
    ],
    [
      'a dataset',
      ['on: { dataset: { pipeline: churn, step: prepare, output: table } }', { dataset: DATASET }],
      { datasets: [{ ...DATASET, params: {} }] },
    ],
    ['a webhook that is off', ['on: { webhook: false }', { webhook: false }], {}],
  ])('says the same in YAML and TypeScript, there and back: %s', (_what, [yaml, on], triggers) => {
    expect(Triggers.parse(read(yaml))).toEqual(triggers);
    expect(built(on)).toEqual(triggers);
    const { plan } = compileYamlFile(`version: 1\nname: p\n${STEPS}`);
    expect(compileYamlFile(planToYaml(plan, triggers))).toEqual({ plan, triggers });
  });

  it.each([
    ['on: daily', '3 on must be a mapping with schedule'],
    [
      'on: { shedule: "@daily" }',
      "3 on.shedule 'shedule' is not known here. Did you mean 'schedule'?",
    ],
    ['schedule: "@daily"', "3 schedule 'schedule' belongs under 'on', at the top of the file."],
    ['on: { schedule: 5 }', '3 on.schedule must be a cron expression, or a mapping with cron'],
    [
      'on: { schedule: daily }',
      '3 on.schedule must be five fields, such as "0 3 * * *", or @daily.',
    ],
    ['on: { schedule: { cron: "* * * *" } }', '3 on.schedule.cron must be five fields'],
    ['on: { schedule: {} }', "3 on.schedule must have exactly one of 'cron' and 'every'."],
    ['on: { schedule: { cron: "@daily", every: 1h } }', '3 on.schedule must have exactly one of'],
    ['on: { schedule: { evry: 1h, cron: "@daily" } }', "Did you mean 'every'?"],
    ['on: { schedule: { every: 0.5s } }', '3 on.schedule.every must be from 1s to 366d'],
    ['on: { schedule: { every: soon } }', '3 on.schedule.every must be a duration'],
    ['on: { schedule: { every: 1h, catch_up: 5s } }', 'catch_up must be from 10s to 366d'],
    ['on: { schedule: { every: 1h, jitter: 2d } }', 'jitter must be from 0s to 1d'],
    ['on: { schedule: { every: 1h, overlap: skp } }', "Did you mean 'skip'?"],
    [
      'on: { schedule: { cron: "@daily", timezone: Mars/Olympus } }',
      '3 on.schedule.timezone must be a name of the IANA database, such as Europe/Berlin.',
    ],
    ['on: { webhook: yes please }', '3 on.webhook must be true, or a mapping with params.'],
    ['on: { webhook: { parms: {} } }', "Did you mean 'params'?"],
    ['on: { webhook: { params: [1] } }', 'must be a mapping of params to expressions.'],
    ['on: { webhook: { params: { rfe: body.ref } } }', "Did you mean 'ref'?"],
    ['on: { webhook: { params: { ref: main } } }', "'main' cannot be read here: begin with body."],
    ['on: { webhook: { params: { ref: "body." } } }', '3 on.webhook.params.ref '],
    ['on: { webhook: { params: { ref: { a: 1 } } } }', '3 on.webhook.params.ref must be an'],
    ['on: { model: digits }', '3 on.model must be a mapping with name, event, alias, params.'],
    ['on: { model: { nmae: digits, name: x } }', "Did you mean 'name'?"],
    ['on: { model: {} }', '3 on.model.name must be a text of 1 to 250 characters.'],
    ['on: { model: { name: x, event: versoin } }', "Did you mean 'version'?"],
    ['on: { model: { name: x, event: version, alias: a } }', '3 on.model.alias is set by an event'],
    [
      'on: { model: { name: x, params: { n: event.versoin } } }',
      "3 on.model.params.n there is no 'event.versoin': it has model, version, run. Did you mean 'version'?",
    ],
    ['on: { model: [{ name: x, params: { n: body.x } }] }', '3 on.model[0].params.n '],
    ['on: { model: { name: x, params: { n: event.alias } } }', "there is no 'event.alias'"],
    ['on: { dataset: { pipeline: p, step: s } }', '3 on.dataset.output must be a text'],
    ['dataset: { pipeline: p }', "'dataset' belongs under 'on'"],
    [`on: { model: [${'{ name: x }, '.repeat(21)}] }`, '3 on.model must be at most 20.'],
  ])('is refused with its place: %s', (on, says) => {
    expect(problems(on)).toEqual([expect.stringContaining(says)]);
  });
});

describe('the params that a trigger gives', () => {
  const hook = (params: Record<string, string>): Parameters<typeof renderTriggerParams>[0] => ({
    ...{ path: 'on.webhook', scope: 'body', params },
  });
  it('are values of the expression language over what it brought along', () => {
    const given = { ref: 'body.head.ref + "!"', first: 'body.list[0]', plain: '7', all: 'body' };
    const body = { head: { ref: 'main' }, list: [true] };
    expect(renderTriggerParams(hook(given), body)).toEqual({
      ...{ ref: 'main!', first: true, plain: 7, all: body },
    });
  });

  it('are refused by name if they have no value', () => {
    for (const body of [{}, [], null, 'text', { constructor: 1 }]) {
      expect(() => renderTriggerParams(hook({ ref: 'body.ref' }), body)).toThrow(
        "on.webhook.params.ref: 'body.ref' has no value.",
      );
    }
  });
});
