import { canonicalJson } from '../dag/canonical';
import { describeTriggers } from '../dag/trigger-text';
import type { Deployment } from '../schemas/deployments';

/** What is compared of two deployments: all but number, time and who. */
export type Comparable = Pick<
  Deployment,
  'pipeline' | 'planId' | 'params' | 'codeDigest' | 'git' | 'triggers'
>;
const DIGEST_CHARS = 12;

/** In what a deployment differs from the one before, a line for each; none if in nothing. */
export function describeChanges(before: Comparable | undefined, now: Comparable): string[] {
  const triggers = (of: Comparable): string[] => describeTriggers(of.triggers);
  if (before === undefined) return ['new', ...triggers(now).map((line) => `+ ${line}`)];
  const lines = [
    changed('pipeline', before.pipeline, now.pipeline),
    changed('plan', short(before.planId), short(now.planId)),
    changed('code', short(before.codeDigest), short(now.codeDigest)),
    changed('commit', commitOf(before), commitOf(now)),
    ...changedParams(before.params, now.params),
    ...without(triggers(before), triggers(now)).map((line) => `- ${line}`),
    ...without(triggers(now), triggers(before)).map((line) => `+ ${line}`),
  ].filter((line) => line !== '');
  const isSame = canonicalJson(comparable(before)) === canonicalJson(comparable(now));
  // what no line above tells still counts
  return lines.length > 0 || isSame ? lines : ['changed'];
}

function comparable(of: Comparable): Comparable {
  const { pipeline, planId, params, codeDigest, git, triggers } = of;
  return { pipeline, planId, params, codeDigest, git, triggers };
}

function changed(what: string, before: string, now: string): string {
  return before === now ? '' : `${what}: ${before} → ${now}`;
}

function changedParams(before: Comparable['params'], now: Comparable['params']): string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(now)])];
  const text = (value: unknown): string =>
    value === undefined ? 'its default' : canonicalJson(value);
  return names.map((name) => changed(`param ${name}`, text(before[name]), text(now[name])));
}

function commitOf({ git }: Comparable): string {
  return git === null ? 'none' : short(git.commit) + (git.isDirty ? ' + changes' : '');
}

function short(digest: string | null): string {
  return digest?.slice(0, DIGEST_CHARS) ?? 'none';
}

function without(lines: readonly string[], others: readonly string[]): string[] {
  return lines.filter((line) => !others.includes(line));
}
