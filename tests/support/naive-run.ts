import { evaluate, ExpressionError, parseExpression, referencesOf } from '../../dag/expressions';
import { resolveParams } from '../../dag/params';
import type { RunOutcome } from '../../schemas/graph';
import type {
  CompositeSpec,
  DynamicSpec,
  FailureClass,
  Params,
  Plan,
  PlanStep,
  StepSpec,
} from '../../schemas/plan';
import { compileOnce } from './compile-once';
import type { Behaviour } from './world-options';

/** `blocked`: skipped since something that it needs failed; it passes that on. */
type End = 'succeeded' | 'failed' | 'skipped' | 'blocked';
interface Ended {
  readonly end: End;
  /** The class and the reason of the failure behind it. */
  readonly cause: string;
}
type Scope = Readonly<Record<string, unknown>>;
/** Where steps stand: in the plan itself, or in one run of a sub-pipeline. */
interface Around {
  readonly prefix: string;
  /** How that ended which the place as a whole waits for. */
  readonly entry: readonly Ended[];
  readonly item: Scope;
  readonly steps: Scope;
}
/** One run of a step; an item that waits for its turn begins with a row of its own. */
type Place = Around & { readonly key: string; readonly waits?: boolean };

const LOSSES_MAX = 20;
const MAX_DELAY_MS = 60_000;
const LOST: readonly FailureClass[] = ['heartbeat', 'preempted', 'node-lost'];
const NOWHERE: Around = { prefix: '', entry: [], item: {}, steps: {} };
const done = (end: End, cause = ''): Ended => ({ end, cause });

/** The attempts of a step that fails in these ways, by the rules of "When a step fails". */
export function attemptsOf(
  failures: readonly FailureClass[],
  { max, on }: StepSpec['retry'],
): { readonly count: number; readonly delaysMs: readonly number[]; readonly end: Ended } {
  const delaysMs: number[] = [];
  let own = 0;
  let lost = 0;
  for (const [i, failure] of failures.entries()) {
    const gone = (why: string) => {
      return { count: i + 1, delaysMs, end: done('failed', `${failure}: ${why}`) };
    };
    if (LOST.includes(failure)) {
      lost += 1;
      if (lost > LOSSES_MAX) return gone('lost too often');
      delaysMs.push(lost <= 2 ? 0 : Math.min(1000 * 2 ** (lost - 3), MAX_DELAY_MS));
    } else {
      own += 1;
      if (!on.includes(failure)) return gone('not retried');
      if (own > max) return gone(`no retry of ${max}`);
      delaysMs.push(Math.min(1000 * 2 ** (own - 1), MAX_DELAY_MS));
    }
  }
  return { count: failures.length + 1, delaysMs, end: done('succeeded') };
}

/**
 * How a run ends by the sentences of docs/pipelines.md, worked out over the plan without any graph,
 * queue or clock. A foreach with `stop_after` is taken to run one item after the other.
 */
export class NaiveRun {
  /** What every step shows at the end. */
  readonly statuses: Record<string, string> = {};
  /** How many attempts each step made, and the waits between them. */
  readonly attempts = new Map<
    string,
    { readonly count: number; readonly delaysMs: readonly number[] }
  >();
  readonly status: RunOutcome;
  private params: Params; // inside what a step has written, its own
  private readonly behave: (key: string) => Behaviour;

  constructor(plan: Plan, params: Params, behave: (key: string) => Behaviour) {
    this.params = resolveParams(plan, params);
    this.behave = behave;
    const ends = this.level(plan.steps, NOWHERE);
    this.status = ends.some(({ end }) => end === 'failed') ? 'failed' : 'succeeded';
    const own = this.status === 'failed' ? 'on_failure' : 'on_success';
    const lists = { on_success: plan.onSuccess, on_failure: plan.onFailure, always: plan.always };
    for (const list of [own, 'always'] as const) {
      for (const step of lists[list] ?? [])
        this.leaf(step, { ...NOWHERE, key: `${list}.${step.name}` });
    }
  }

  private level(steps: readonly PlanStep[], around: Around): Ended[] {
    const ends = new Map<string, Ended>();
    const own = new Set(steps.map(({ name }) => name));
    const values = Object.fromEntries(
      Object.entries(around.steps).filter(([name]) => !own.has(name)),
    );
    const endOf = (step: PlanStep): Ended => {
      const known = ends.get(step.name);
      if (known !== undefined) return known;
      const beside = steps.filter(({ name }) => step.needs.includes(name)).map(endOf);
      const needs = beside.length > 0 ? beside : around.entry;
      const end = this.step(step, { ...around, entry: needs, steps: values });
      ends.set(step.name, end);
      const key = around.prefix + step.name;
      const isLeaf = !('steps' in step) && !('pipeline' in step);
      const { outputs, writes } = this.behave(isLeaf ? key : `${key}#outputs`);
      if (end.end === 'succeeded' && (outputs ?? writes) !== undefined) {
        const plain = Object.entries(outputs ?? {}).map(([name, of]) => [
          name,
          'value' in of ? of.value : of,
        ]);
        values[step.name] = { outputs: { ...(Object.fromEntries(plain) as Scope), plan: writes } };
      }
      return end;
    };
    return steps.map(endOf);
  }

  private step(step: PlanStep, around: Around): Ended {
    const key = around.prefix + step.name;
    if (step.foreach === undefined) return this.once(step, { ...around, key });
    const lists = Object.values(step.foreach);
    const isLate = lists.some((text) =>
      referencesOf(parseExpression(text)).some(([root]) => root === 'steps'),
    );
    const end = isLate ? ruled(around.entry) : undefined;
    const items = end === undefined ? this.itemsOf(step, around) : [];
    const ended =
      end ??
      (items === undefined
        ? done('failed', 'list')
        : this.items(step, { key, items, isLate }, around));
    if (isLate) this.record(key, ended);
    return ended;
  }

  /** Every combination, the last variable changing fastest; undefined if a list is not there. */
  private itemsOf(step: PlanStep, { item, steps }: Around): Scope[] | undefined {
    const { params } = this;
    return known(() =>
      Object.entries(step.foreach ?? {}).reduce<Scope[]>(
        (items, [variable, text]) => {
          const list = evaluate(parseExpression(text), { params, item, steps }) as unknown[];
          return items.flatMap((before) => list.map((value) => ({ ...before, [variable]: value })));
        },
        [{}],
      ),
    );
  }

  private items(
    step: PlanStep,
    { key, items, isLate }: { key: string; items: readonly Scope[]; isLate: boolean },
    around: Around,
  ): Ended {
    if (items.length === 0) return done('succeeded');
    const alike = new Map<string, number>();
    let isStopped = false;
    const ends = items.map((own, i) => {
      const before = isLate ? [] : around.entry;
      const entry = isStopped ? [done('blocked')] : before;
      const waits = step.parallel !== undefined && i >= step.parallel;
      const item = { ...around.item, ...own };
      const end = this.once(step, { ...around, entry, item, key: `${key}[${i}]`, waits });
      const count = (alike.get(end.cause) ?? 0) + 1;
      if (end.end === 'failed') alike.set(end.cause, count);
      isStopped ||= end.end === 'failed' && count >= (step.stopAfter ?? Infinity);
      return end;
    });
    return joined(ends, step.minSuccess ?? 1);
  }

  private once(step: PlanStep, place: Place): Ended {
    if ('pipeline' in step) return this.dynamic(step, place);
    return 'steps' in step ? this.composite(step, place) : this.leaf(step, place);
  }

  private leaf(step: StepSpec, place: Place): Ended {
    const { key, entry } = place;
    const end = ruled(entry) ?? this.condition(step, place);
    if (end !== undefined) return this.record(key, end);
    const attempts = attemptsOf(this.behave(key).failures ?? [], step.retry);
    this.attempts.set(key, attempts);
    return this.record(key, attempts.end);
  }

  /** A row of its own says whether it begins, if there is a condition or others go first. */
  private composite(step: CompositeSpec, place: Place): Ended {
    const { key, item, steps, waits = false } = place;
    let { entry } = place;
    const ends: Ended[] = [];
    if (step.if !== undefined || waits) {
      const begin = ruled(entry) ?? this.condition(step, place) ?? done('succeeded');
      ends.push(this.record(`${key}#begin`, begin));
      entry = [begin];
    }
    const inner = this.level(step.steps, { prefix: `${key}.`, entry, item, steps });
    ends.push(...inner);
    if (step.outputs !== undefined) {
      const texts = Object.values(step.outputs);
      const read = texts.flatMap((text) => referencesOf(parseExpression(text)));
      const names = read.flatMap(([root, name]) => (root === 'steps' ? [name] : []));
      const beside = inner.filter((_, i) => names.includes(step.steps[i]?.name ?? ''));
      const end = ruled(beside.length > 0 ? beside : entry) ?? done('succeeded');
      ends.push(this.record(`${key}#outputs`, end));
    }
    return joined(ends, 1);
  }

  /** What was written runs as a sub-pipeline that sees its own params only. */
  private dynamic(step: DynamicSpec, place: Place): Ended {
    const { key, item, steps } = place;
    const end = ruled(place.entry) ?? this.condition(step, place);
    if (end !== undefined) return this.record(key, end);
    const outer = this.params;
    const read = (text: string): unknown =>
      evaluate(parseExpression(text), { params: outer, item, steps });
    const text = known(() => read(step.pipeline));
    if (text === undefined) return this.record(key, done('failed', 'pipeline'));
    const { name, ...written } = compileOnce(text as string);
    const values = Object.entries(step.with ?? {}).map(([param, value]) => {
      const isRead = typeof value === 'string' && value.startsWith('${{');
      return [param, isRead ? read(value.slice(3, -2)) : value];
    });
    this.params = resolveParams({ name, ...written }, Object.fromEntries(values) as Params);
    const outputs = step.outputs === undefined ? {} : { outputs: written.outputs ?? {} };
    const whole = { name, steps: written.steps, needs: [], ...outputs };
    const ended = this.composite(whole, { ...place, entry: [], steps: {} });
    this.params = outer;
    return this.record(key, ended);
  }

  private condition(step: PlanStep, { item, steps }: Place): Ended | undefined {
    if (step.if === undefined) return undefined;
    const value = evaluate(parseExpression(step.if), { params: this.params, item, steps });
    return value === true ? undefined : done('skipped');
  }

  private record(key: string, ended: Ended): Ended {
    this.statuses[key] = ended.end === 'blocked' ? 'skipped' : ended.end;
    return ended;
  }
}

/** What is worked out; undefined if what it reads is not there. */
function known<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof ExpressionError) return undefined;
    throw error;
  }
}

/** "If a step that it needs failed, or if all that it needs were skipped." */
function ruled(needs: readonly Ended[]): Ended | undefined {
  if (needs.some(({ end }) => end === 'failed' || end === 'blocked')) return done('blocked');
  if (needs.length > 0 && needs.every(({ end }) => end === 'skipped')) return done('skipped');
  return undefined;
}

/** `min_success` is a share of the items that were wanted: those whose condition is false do not count. */
function joined(ends: readonly Ended[], minSuccess: number): Ended {
  const wanted = ends.filter(({ end }) => end !== 'skipped');
  if (wanted.length === 0) return done('skipped');
  if (wanted.every(({ end }) => end === 'blocked')) return done('blocked');
  const succeeded = wanted.filter(({ end }) => end === 'succeeded').length;
  if (succeeded + 1e-9 >= minSuccess * wanted.length) return done('succeeded');
  return wanted.find(({ end }) => end === 'failed') ?? done('blocked');
}
