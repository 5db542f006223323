import { AppError, type Problem } from '../errors/app-error';
import type { Params, Plan } from '../schemas/plan';
import type { Triggers } from '../schemas/triggers';
import { evaluate, ExpressionError, parseExpression, referencesOf } from './expressions';
import { suggest } from './suggest';

/** The params that one trigger gives, as expressions over what it brings along. */
export interface TriggerParams {
  readonly path: string; // in the pipeline file
  /** The one name that its expressions may begin with. */
  readonly scope: 'body' | 'event';
  readonly params: Readonly<Record<string, string>>;
}

/** The params of each trigger that can give some. */
export function paramsOfTriggers({ webhook }: Triggers): TriggerParams[] {
  return webhook === undefined
    ? []
    : [{ path: 'on.webhook', scope: 'body', params: webhook.params }];
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

function expressionProblem(text: string, { scope }: TriggerParams): string | undefined {
  try {
    const other = referencesOf(parseExpression(text)).find(([root]) => root !== scope);
    return other && `'${other.join('.')}' cannot be read here: begin with ${scope}.`;
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
