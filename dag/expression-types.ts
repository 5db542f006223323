import type { OutputSpec, PlanStep } from '../schemas/plan';
import { parseExpression } from './expressions';
import type { Expression } from './expressions';
import {
  findStep,
  isComposite,
  isDynamic,
  isLeaf,
  loopsAround,
  namesInside,
  sourceOf,
  stepNames,
} from './names';
import type { Found } from './names';
import { expectType, rejectArtifact, typeOfBinary } from './operator-types';
import type { ValueType } from './operator-types';
import type { Place } from './step-expressions';
import { suggest } from './suggest';

/** Where an expression stands; problems are added to the list. */
export interface TypeContext extends Found<PlanStep> {
  readonly place: Pick<Place, 'roots' | 'role'>;
  readonly problems: string[];
}

/** The type of an expression; adds a problem for each name that is unknown and each type that is wrong. */
export function checkTypes(tree: Expression, context: TypeContext): ValueType {
  const { problems } = context;
  switch (tree.kind) {
    case 'literal':
      return tree.value === null ? 'null' : (typeof tree.value as 'number' | 'string' | 'boolean');
    case 'list':
      for (const item of tree.items) rejectArtifact(checkTypes(item, context), problems);
      return 'list';
    case 'path':
      return typeOfPath(tree.parts, context);
    case 'unary': {
      const wanted = tree.op === '!' ? 'boolean' : 'number';
      expectType(checkTypes(tree.of, context), { wanted: [wanted], op: tree.op, problems });
      return wanted;
    }
    case 'binary':
      return typeOfBinary(tree.op, {
        left: checkTypes(tree.left, context),
        right: checkTypes(tree.right, context),
        problems,
      });
  }
}

type Parts = readonly (string | number)[];

/** The type of a path such as `steps.train.outputs.auc`; adds a problem if it leads nowhere. */
function typeOfPath(parts: Parts, context: TypeContext): ValueType {
  const [root = '', name] = parts.map(String);
  const roots = context.names.isHandler ? [...context.place.roots, 'run'] : context.place.roots;
  if (!roots.includes(root)) {
    const known = roots.map((other) => `${other}.…`).join(', ');
    const hint = name === undefined ? '' : suggest(root, roots);
    return fail(context, `'${parts.join('.')}' cannot be read here; only ${known}.${hint}`);
  }
  if (name === undefined) return fail(context, `'${root}' must go on with a name: ${root}.…`);
  if (root === 'steps') return typeOfOutput(parts, context);
  if (root === 'item') return typeOfItem(parts, context);
  const record = recordOf(root, context);
  if (!Object.hasOwn(record, name)) {
    return unknown(context, `${root}.${name}`, { name, known: () => Object.keys(record) });
  }
  if (root === 'params') return typeOfParam(parts, context);
  if (root === 'run') return goOn(context, { parts, rest: parts.slice(1), type: 'string' });
  const isPath = parts.length === 3 && parts[2] === 'path';
  if (isPath) return 'string';
  return fail(context, `'${parts.join('.')}' cannot be read; only inputs.${name}.path.`);
}

const RUN = { status: 'string', reason: 'string' };

/** What stands under `params`, `run` and `inputs`. */
function recordOf(root: string, { names, step }: TypeContext): object {
  if (root === 'params') return names.params;
  if (root === 'run') return RUN;
  return (isLeaf(step) ? step.inputs : undefined) ?? {};
}

function fail(context: TypeContext, message: string): 'any' {
  context.problems.push(message);
  return 'any';
}

function unknown(
  context: TypeContext,
  what: string,
  { name, known }: { readonly name: string; readonly known: () => readonly string[] },
): 'any' {
  return fail(context, `there is no '${what}'.${context.names.hint(name, known)}`);
}

/** The type of a path whose value has a type already and that may go on behind it. */
function goOn(
  context: TypeContext,
  path: { readonly parts: Parts; readonly rest: Parts; readonly type: ValueType },
): ValueType {
  if (path.rest.length === 1 || path.type === 'any') return path.type;
  return fail(
    context,
    `'${path.parts.join('.')}' goes into a ${path.type}, which has no such part.`,
  );
}

function typeOfParam(parts: Parts, context: TypeContext): ValueType {
  const type = context.names.params[String(parts[1])]?.type ?? 'any';
  if (type === 'list' && typeof parts[2] === 'number') return 'any';
  return goOn(context, { parts, rest: parts.slice(1), type });
}

/**
 * A variable of the foreach around; items of the outputs of a foreach step have the types of its
 * outputs. The list of a foreach itself reads only the variables around it.
 */
function typeOfItem(parts: Parts, context: TypeContext): ValueType {
  const name = String(parts[1]);
  const loops = loopsAround(context);
  const readable = context.place.role === 'list' ? loops.filter(isAround(context)) : loops;
  const known = (): string[] => readable.flatMap(({ step }) => Object.keys(step.foreach ?? {}));
  const loop = readable.find(({ step }) => Object.hasOwn(step.foreach ?? {}, name));
  if (loop === undefined) return unknown(context, `item.${name}`, { name, known });
  const source = sourceOf(loop.names, loop.step.foreach?.[name]);
  const [, , output, ...more] = parts;
  if (source?.step.foreach === undefined || output === undefined || output === 'item') return 'any';
  const type = outputTypes(source).get(String(output));
  if (type !== undefined) return goOn(context, { parts, rest: [output, ...more], type });
  const outputs = (): string[] => [...outputTypes(source).keys(), 'item'];
  return unknown(context, parts.join('.'), { name: String(output), known: outputs });
}

function isAround({ step }: TypeContext): (loop: { readonly step: unknown }) => boolean {
  return (loop) => loop.step !== step;
}

function typeOfOutput(parts: Parts, context: TypeContext): ValueType {
  const { names } = context;
  const name = String(parts[1]);
  const source = findStep(names, name);
  if (source === undefined) {
    return unknown(context, `steps.${name}`, { name, known: () => stepNames(names) });
  }
  if (parts[2] !== 'outputs') return fail(context, `'steps.${name}' must go on with '.outputs'.`);
  const isForeach = source.step.foreach !== undefined;
  if (isForeach && parts.length === 3) return 'items';
  if (isForeach && typeof parts[3] !== 'number') {
    const hint = `steps.${name}.outputs, for instance as 'runs' of builtin/best`;
    return fail(context, `'${name}' is a foreach, so its outputs are a list: take ${hint}.`);
  }
  const rest = parts.slice(isForeach ? 4 : 3);
  const [output] = rest;
  if (isForeach && output === 'item') return 'any';
  if (output === undefined) {
    return fail(context, `'${parts.join('.')}' must go on with the name of an output.`);
  }
  const outputs = outputTypes(source);
  const type = outputs.get(String(output));
  if (type !== undefined) return goOn(context, { parts, rest, type });
  const hint = names.hint(String(output), () => [...outputs.keys()]);
  return fail(context, `step '${name}' has no output '${output}'.${hint}`);
}

type Types = ReadonlyMap<string, ValueType>;

/** The outputs of one run of a step by name; for a built-in, those that follow from its inputs. */
export function outputTypes({ step, names }: Found<PlanStep>): Types {
  const known = names.outputTypes.get(step);
  if (known !== undefined) return known;
  names.outputTypes.set(step, new Map()); // steps that need each other in a circle end here
  const types = findOutputTypes({ step, names });
  names.outputTypes.set(step, types);
  return types;
}

function findOutputTypes({ step, names }: Found<PlanStep>): Types {
  if (isComposite(step)) {
    const inside = namesInside(names, step);
    const place = { role: 'output', roots: ['params', 'item', 'steps'] } as const;
    return mapTypes(step.outputs, (text) =>
      typeOfText(text, { step, names: inside, place, problems: [] }),
    );
  }
  if (isDynamic(step)) {
    return mapTypes(step.outputs, (kind) =>
      kind === 'any' || kind === 'value' ? 'any' : `${kind} artifact`,
    );
  }
  if (step.uses?.startsWith('builtin/') !== true) return mapTypes(step.outputs, typeOfSpec);
  if (step.uses === 'builtin/register-model') return new Map([['version', 'any']]);
  if (step.uses === 'builtin/notify') return new Map([['message', 'string']]);
  if (step.uses !== 'builtin/best') return new Map();
  const source = sourceOf(names, step.inputs?.['runs']);
  return new Map([...(source === undefined ? [] : outputTypes(source)), ['item', 'any']]);
}

function mapTypes<T>(
  outputs: Readonly<Record<string, T>> | undefined,
  typeOf: (output: T) => ValueType,
): Types {
  return new Map(Object.entries(outputs ?? {}).map(([name, output]) => [name, typeOf(output)]));
}

function typeOfText(text: string, context: TypeContext): ValueType {
  try {
    return checkTypes(parseExpression(text), context);
  } catch {
    return 'any'; // told where the expression itself is checked
  }
}

function typeOfSpec(spec: OutputSpec): ValueType {
  if ('metric' in spec) return 'number';
  return 'kind' in spec ? `${spec.kind} artifact` : 'any';
}
