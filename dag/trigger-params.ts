import { AppError, type Problem } from '../errors/app-error';
import type { Params, Plan } from '../schemas/plan';
import type { DatasetTrigger, ModelTrigger, Triggers } from '../schemas/triggers';
import { evaluate, ExpressionError, parseExpression, referencesOf } from './expressions';
import { suggest } from './suggest';

/** The params that one trigger gives, as expressions over what it brings along. */
export interface TriggerParams {
  readonly path: string; // in the pipeline file
  /** The one name that its expressions may begin with. */
  readonly scope: 'body' | 'event';
  /** What stands under that name; anything, if left out. */
  readonly fields?: readonly string[];
  readonly params: Readonly<Record<string, string>>;
}

/** The params of each trigger that can give some. */
export function paramsOfTriggers({
  webhook,
  models = [],
  datasets = [],
}: Triggers): TriggerParams[] {
  return [
    ...(webhook === undefined ? [] : [paramsOfHook(webhook)]),
    ...models.map((model, i) => paramsOfModel(model, i)),
    ...datasets.map((dataset, i) => paramsOfDataset(dataset, i)),
  ];
}

/** The params that the body of a call gives. */
export function paramsOfHook({ params }: NonNullable<Triggers['webhook']>): TriggerParams {
  return { path: 'on.webhook', scope: 'body', params };
}

const FIELDS = {
  version: ['model', 'version', 'run'],
  alias: ['model', 'alias', 'version', 'previous', 'run'],
  dataset: ['pipeline', 'run', 'step', 'output', 'artifact'],
} as const;

/** The params that a new version or an alias gives; `position` is its place among the models. */
export function paramsOfModel({ event, params }: ModelTrigger, position: number): TriggerParams {
  return { path: `on.model[${position}]`, scope: 'event', fields: FIELDS[event], params };
}

/** The params that a new dataset gives. */
export function paramsOfDataset({ params }: DatasetTrigger, position: number): TriggerParams {
  return { path: `on.dataset[${position}]`, scope: 'event', fields: FIELDS.dataset, params };
}

/** What is wrong with the params that triggers give: names that the plan does not know, expressions. */
export function triggerProblems(plan: Pick<Plan, 'params'>, triggers: Triggers): Problem[] {
  const known = Object.keys(plan.params);
  return paramsOfTriggers(triggers).flatMap((trigger) =>
    Object.entries(trigger.params).flatMap(([name, text]) => {
      const path = `${trigger.path}.params.${name}`;
      const messages = [
        known.includes(name)
          ? undefined
          : `is not a parameter of the pipeline.${suggest(name, known)}`,
        expressionProblem(text, trigger),
      ];
      return messages.flatMap((message) => (message === undefined ? [] : [{ path, message }]));
    }),
  );
}

function expressionProblem(text: string, { scope, fields }: TriggerParams): string | undefined {
  try {
    const read = referencesOf(parseExpression(text));
    const other = read.find(([root]) => root !== scope);
    if (other !== undefined) {
      return `'${other.join('.')}' cannot be read here: begin with ${scope}.`;
    }
    const unknown = read.find(([, field]) => fields?.includes(String(field)) === false);
    if (unknown === undefined || fields === undefined) return undefined;
    const near = suggest(String(unknown[1]), fields);
    return `there is no '${unknown.join('.')}': it has ${fields.join(', ')}.${near}`;
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    return `'${text}': ${error.message} (column ${error.column}).`;
  }
}

/** The params that a trigger gives for what it brought along; INVALID_ARGUMENT names what has no value. */
export function renderTriggerParams(
  { path, scope, params }: TriggerParams,
  brought: unknown,
): Params {
  const values = Object.entries(params).map(([name, text]): [string, unknown] => {
    try {
      return [name, evaluate(parseExpression(text), { [scope]: brought })];
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      throw new AppError('INVALID_ARGUMENT', `${path}.params.${name}: ${error.message}.`);
    }
  });
  return Object.fromEntries(values) as Params;
}
