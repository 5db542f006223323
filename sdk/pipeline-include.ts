import { posix } from 'node:path';
import { ExpressionError } from '../dag/expressions';
import { inlinePlan } from '../dag/inline';
import { isComposite, isDynamic } from '../dag/names';
import { valuesOf } from '../dag/param-values';
import { isAppError } from '../errors/app-error';
import type { Plan, PlanStep } from '../schemas/plan';
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
    const refuse = (message: string): ReturnType<Include> => {
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
      const values = valuesOf(plan, given ?? {}, ({ isWith, param }, message) => {
        report(!isWith ? ['uses'] : param === undefined ? ['with'] : ['with', param], message);
      });
      if (values === undefined) return undefined;
      const { steps, ...outputs } = inlinePlan(plan, values);
      return { ...outputs, steps: steps.map((step) => movePaths(step, posix.dirname(path))) };
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

/** Functions and globs are named from the folder of their file: here from that of the pipeline. */
function movePaths(step: PlanStep, folder: string): PlanStep {
  if (folder === '.' || isDynamic(step)) return step;
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
