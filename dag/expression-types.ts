import type { OutputSpec, Plan, StepSpec } from '../schemas/plan';
import { declaredOutputs } from './builtins';
import type { BinaryOp, Expression } from './expressions';
import type { Place } from './step-expressions';
import { suggest } from './suggest';

/** What an expression gives, as far as the plan tells; `any` where only the run can tell. */
export type ValueType =
  | 'any'
  | 'null'
  | 'number'
  | 'string'
  | 'boolean'
  | 'list'
  | 'items'
  | 'model artifact'
  | 'dataset artifact'
  | 'file artifact';

/** Where an expression stands; problems are added to the list. */
export interface TypeContext {
  readonly plan: Plan;
  readonly step: StepSpec;
  readonly place: Place;
  readonly problems: string[];
}

/** The type of an expression; adds a problem for each name that is unknown and each type that is wrong. */
export function checkTypes(tree: Expression, context: TypeContext): ValueType {
  switch (tree.kind) {
    case 'literal':
      return tree.value === null ? 'null' : (typeof tree.value as 'number' | 'string' | 'boolean');
    case 'list':
      for (const item of tree.items) rejectArtifact(checkTypes(item, context), context);
      return 'list';
    case 'path':
      return typeOfPath(tree.parts, context);
    case 'unary': {
      const wanted = tree.op === '!' ? 'boolean' : 'number';
      expectType(checkTypes(tree.of, context), { wanted: [wanted], op: tree.op, context });
      return wanted;
    }
    case 'binary':
      return typeOfBinary(tree.op, {
        left: checkTypes(tree.left, context),
        right: checkTypes(tree.right, context),
        context,
      });
  }
}

interface Operands {
  readonly left: ValueType;
  readonly right: ValueType;
  readonly context: TypeContext;
}

function typeOfBinary(op: BinaryOp, { left, right, context }: Operands): ValueType {
  if (op === '&&' || op === '||') {
    for (const type of [left, right]) expectType(type, { wanted: ['boolean'], op, context });
    return 'boolean';
  }
  if (op === 'in') {
    rejectArtifact(left, context);
    expectType(right, { wanted: ['list'], op, context });
    return 'boolean';
  }
  if (op === '==' || op === '!=') {
    if (!rejectArtifact(left, context) && !rejectArtifact(right, context)) {
      const open = [left, right].some((type) => type === 'any' || type === 'null');
      if (!open && left !== right) {
        context.problems.push(`compares a ${left} with a ${right}: they are never equal.`);
      }
    }
    return 'boolean';
  }
  const takesText = op !== '-' && op !== '*' && op !== '/';
  const wanted: ValueType[] = takesText ? ['number', 'string'] : ['number'];
  const fits = [left, right].every((type) => expectType(type, { wanted, op, context }));
  if (fits && left !== 'any' && right !== 'any' && left !== right) {
    context.problems.push(`'${op}' has a ${left} on one side and a ${right} on the other.`);
  }
  if (op === '<' || op === '<=' || op === '>' || op === '>=') return 'boolean';
  return left === 'any' ? right : left;
}

function expectType(
  type: ValueType,
  rule: {
    readonly wanted: readonly ValueType[];
    readonly op: string;
    readonly context: TypeContext;
  },
): boolean {
  if (type === 'any' || rule.wanted.includes(type)) return true;
  rule.context.problems.push(`'${rule.op}' needs a ${rule.wanted.join(' or ')}, not a ${type}.`);
  return false;
}

/** Artifacts are references: only inputs take them as they are. True if it was one. */
function rejectArtifact(type: ValueType, context: TypeContext): boolean {
  const isArtifact = type.endsWith('artifact');
  if (isArtifact) context.problems.push(`a ${type} has no value that could be compared.`);
  return isArtifact;
}

type Parts = readonly (string | number)[];

function typeOfPath(parts: Parts, context: TypeContext): ValueType {
  const { plan, step, place } = context;
  const [root = '', name] = parts.map(String);
  const text = parts.join('.');
  const fail = (message: string): 'any' => {
    context.problems.push(message);
    return 'any';
  };
  if (!place.roots.includes(root)) {
    const known = place.roots.map((other) => `${other}.…`).join(', ');
    const hint = name === undefined ? '' : suggest(root, place.roots);
    return fail(`'${text}' cannot be read here; only ${known}.${hint}`);
  }
  if (name === undefined) return fail(`'${root}' must go on with a name: ${root}.…`);
  const known = namesUnder(root, { plan, step });
  if (!known.includes(name)) {
    return fail(`there is no '${root}.${name}'.${suggest(name, known)}`);
  }
  if (root === 'params') return typeOfParam(parts, context);
  if (root === 'steps') return typeOfOutput(parts, context);
  if (root === 'item') return 'any';
  const isPath = parts.length === 3 && parts[2] === 'path';
  return isPath ? 'string' : fail(`'${text}' cannot be read; only inputs.${name}.path.`);
}

function namesUnder(root: string, { plan, step }: Pick<TypeContext, 'plan' | 'step'>): string[] {
  if (root === 'params') return Object.keys(plan.params);
  if (root === 'item') return Object.keys(step.foreach ?? {});
  if (root === 'inputs') return Object.keys(step.inputs ?? {});
  return plan.steps.map((other) => other.name);
}

function typeOfParam(parts: Parts, context: TypeContext): ValueType {
  const type = context.plan.params[String(parts[1])]?.type ?? 'any';
  if (parts.length === 2) return type;
  if (type === 'list' && typeof parts[2] === 'number') return 'any';
  context.problems.push(`'${parts.join('.')}' goes into a ${type}, which has no such part.`);
  return 'any';
}

function typeOfOutput(parts: Parts, context: TypeContext): ValueType {
  const fail = (message: string): 'any' => {
    context.problems.push(message);
    return 'any';
  };
  const name = String(parts[1]);
  const source = context.plan.steps.find((other) => other.name === name);
  if (parts[2] !== 'outputs') return fail(`'steps.${name}' must go on with '.outputs'.`);
  if (source === undefined) return 'any';
  const isForeach = source.foreach !== undefined;
  if (isForeach && parts.length === 3) return 'items';
  if (isForeach && typeof parts[3] !== 'number') {
    const hint = `steps.${name}.outputs, for instance as 'runs' of builtin/best`;
    return fail(`'${name}' is a foreach, so its outputs are a list: take ${hint}.`);
  }
  const rest = parts.slice(isForeach ? 4 : 3);
  const [output] = rest;
  if (isForeach && output === 'item') return 'any';
  const outputs = declaredOutputs(context.plan, source);
  const spec = Object.entries(outputs).find(([key]) => key === output)?.[1];
  if (output === undefined)
    return fail(`'${parts.join('.')}' must go on with the name of an output.`);
  if (spec === undefined) {
    const hint = suggest(String(output), Object.keys(outputs));
    return fail(`step '${name}' has no output '${output}'.${hint}`);
  }
  const type = typeOfSpec(spec);
  if (rest.length === 1 || type === 'any') return type;
  return fail(`'${parts.join('.')}' goes into a ${type}, which has no such part.`);
}

function typeOfSpec(spec: OutputSpec): ValueType {
  if ('metric' in spec) return 'number';
  return 'kind' in spec ? `${spec.kind} artifact` : 'any';
}
