import { posix } from 'node:path';
import { literal } from '../dag/expression-text';
import { ExpressionError, parseExpression } from '../dag/expressions';
import type { Expression } from '../dag/expressions';
import { inlineSteps } from '../dag/inline';
import { isComposite } from '../dag/names';
import { checkParam } from '../dag/params';
import { suggest } from '../dag/suggest';
import { piecesOf } from '../dag/template';
import { isAppError } from '../errors/app-error';
import type { Plan, PlanStep, StepSpec } from '../schemas/plan';
import type { Include } from './pipeline-steps';

/** Files inside files; more of them use each other in a circle. */
const FILES_DEEP_MAX = 8;

/** The files of a project as a compiler sees them. */
export interface Files {
  /** The text of a file by its path from the project's folder; undefined if it cannot be read. */
  read(path: string): string | undefined;
  /** Compiles the text of a file whose own `uses` are read by `include`; throws INVALID_PLAN. */
  compile(text: string, include: Include): Plan;
}

/** Reads the pipeline files that a pipeline uses; `file` is its own path. */
export function includeFrom(files: Files, file: string, trail: readonly string[] = []): Include {
  return ({ file: uses, with: given, report }) => {
    const folder = posix.dirname(file);
    const path = posix.join(folder, uses);
    const isOutside = posix.isAbsolute(uses) || path.startsWith('..') || uses.includes('\\');
    const refuse = (message: string): PlanStep[] | undefined => {
      report(['uses'], message);
      return undefined;
    };
    if (isOutside || !uses.startsWith('.')) {
      return refuse('must be a file inside the project, for instance ./eval.yaml.');
    }
    if (trail.includes(path) || trail.length >= FILES_DEEP_MAX) {
      return refuse(`uses pipeline files in a circle: ${[...trail, path].join(' → ')}.`);
    }
    const text = files.read(path);
    if (text === undefined) return refuse(`no file '${path}' can be read.`);
    try {
      const plan = files.compile(text, includeFrom(files, path, [...trail, path]));
      const values = valuesOf(plan, given ?? {}, report);
      if (values === undefined) return undefined;
      return inlineSteps(plan.steps, values).map((step) => movePaths(step, posix.dirname(path)));
    } catch (error) {
      if (error instanceof ExpressionError) return refuse(`${path}: ${error.message}.`);
      if (!isAppError(error) || error.code !== 'INVALID_PLAN') throw error;
      for (const { path: at, message, line, column } of error.problems) {
        const place = line === undefined ? '' : `:${line}:${column ?? 1}`;
        report(['uses'], `${path}${place} ${`${at} ${message}`.trim()}`);
      }
      return undefined;
    }
  };
}

type Report = Parameters<Include>[0]['report'];

/** What each parameter stands for; undefined after a report. */
function valuesOf(
  plan: Plan,
  given: NonNullable<StepSpec['with']>,
  report: Report,
): Map<string, Expression> | undefined {
  let wrong = 0;
  const fail = (key: readonly string[], message: string): void => {
    wrong += 1;
    report(key, message);
  };
  if (plan.onSuccess ?? plan.onFailure ?? plan.always) {
    fail(['uses'], 'has handlers of its own, which only a run of its own could carry out.');
  }
  const known = Object.keys(plan.params);
  for (const name of Object.keys(given).filter((other) => !known.includes(other))) {
    fail(['with', name], `is no parameter of '${plan.name}'.${suggest(name, known)}`);
  }
  const values = new Map<string, Expression>();
  for (const [name, spec] of Object.entries(plan.params)) {
    const value: unknown = Object.hasOwn(given, name) ? given[name] : spec.default;
    if (value === undefined) {
      fail(['with'], `needs '${name}': it has no default.`);
      continue;
    }
    const tree = toExpression(value);
    const problem =
      tree === undefined
        ? 'must be a plain value, or one single ${{ … }}: it takes the place of the parameter.'
        : tree.kind === 'literal' || isPlain(value)
          ? checkParam(spec, value)
          : undefined;
    if (problem !== undefined) fail(['with', name], problem);
    else if (tree !== undefined) values.set(name, tree);
  }
  return wrong > 0 ? undefined : values;
}

/** A value, or the expression that a text holds; undefined if the language cannot write it. */
function toExpression(value: unknown): Expression | undefined {
  if (typeof value === 'string' && value.includes('${{')) {
    const [piece, ...more] = piecesOf(value);
    return piece?.isExpression === true && more.length === 0
      ? parseExpression(piece.text)
      : undefined;
  }
  return isPlain(value) ? literal(value) : undefined;
}

/** True for texts, numbers, truth values, null and lists of them. */
function isPlain(value: unknown): boolean {
  if (Array.isArray(value)) return value.every(isPlain);
  if (typeof value === 'string') return !value.includes('${{');
  return value === null || typeof value !== 'object';
}

/** Functions and globs are named from the folder of their file: here from that of the pipeline. */
function movePaths(step: PlanStep, folder: string): PlanStep {
  if (folder === '.') return step;
  if (isComposite(step)) {
    return { ...step, steps: step.steps.map((inner) => movePaths(inner, folder)) };
  }
  const { uses, cache } = step;
  const isFunction = uses?.startsWith('builtin/') === false;
  const files = cache?.files?.map((glob) => posix.join(folder, glob));
  return {
    ...step,
    ...(isFunction && { uses: `./${posix.join(folder, uses)}` }),
    ...(files && { cache: { ...cache, files } }),
  };
}
