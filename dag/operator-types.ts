import type { BinaryOp } from './expressions';

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
  | 'file artifact'
  | 'pipeline artifact';

/** The types of what stands on both sides of an operator; problems are added to the list. */
export interface Operands {
  readonly left: ValueType;
  readonly right: ValueType;
  readonly problems: string[];
}

/** What an operator gives; adds a problem for each side that it does not take. */
export function typeOfBinary(op: BinaryOp, { left, right, problems }: Operands): ValueType {
  if (op === '&&' || op === '||') {
    for (const type of [left, right]) expectType(type, { wanted: ['boolean'], op, problems });
    return 'boolean';
  }
  if (op === 'in') {
    rejectArtifact(left, problems);
    expectType(right, { wanted: ['list'], op, problems });
    return 'boolean';
  }
  if (op === '==' || op === '!=') {
    if (!rejectArtifact(left, problems) && !rejectArtifact(right, problems)) {
      const open = [left, right].some((type) => type === 'any' || type === 'null');
      if (!open && left !== right) {
        problems.push(`compares a ${left} with a ${right}: they are never equal.`);
      }
    }
    return 'boolean';
  }
  const takesText = op !== '-' && op !== '*' && op !== '/';
  const wanted: ValueType[] = takesText ? ['number', 'string'] : ['number'];
  const fits = [left, right].every((type) => expectType(type, { wanted, op, problems }));
  if (fits && left !== 'any' && right !== 'any' && left !== right) {
    problems.push(`'${op}' has a ${left} on one side and a ${right} on the other.`);
  }
  if (op === '<' || op === '<=' || op === '>' || op === '>=') return 'boolean';
  return left === 'any' ? right : left;
}

/** Adds a problem if a type is none of the wanted ones; true if it may be one. */
export function expectType(
  type: ValueType,
  rule: {
    readonly wanted: readonly ValueType[];
    readonly op: string;
    readonly problems: string[];
  },
): boolean {
  if (type === 'any' || rule.wanted.includes(type)) return true;
  rule.problems.push(`'${rule.op}' needs a ${rule.wanted.join(' or ')}, not a ${type}.`);
  return false;
}

/** Artifacts are references: only inputs take them as they are. True if it was one. */
export function rejectArtifact(type: ValueType, problems: string[]): boolean {
  const isArtifact = type.endsWith('artifact');
  if (isArtifact) problems.push(`a ${type} has no value that could be compared.`);
  return isArtifact;
}
