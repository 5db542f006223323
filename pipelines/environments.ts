import type { AttemptEnvironment } from '../schemas/pipeline-runs';

/** More changes of one kind say nothing that the first ones do not. */
const CHANGES_MAX = 10;
/** Of the run itself: they differ in any case. */
const OF_THE_RUN = ['ANNEAL_SEED', 'PYTHONHASHSEED'];

/** In what two environments differ, in words: what is likely to change a result comes first. */
export function explainEnvironments(a: AttemptEnvironment, b: AttemptEnvironment): string {
  const changes = [
    change('python', a.python?.version.split(' ')[0], b.python?.version.split(' ')[0]),
    ...few('packages', packageChanges(a, b)),
    change('node', a.node, b.node),
    change('gpus', a.gpus?.join(', '), b.gpus?.join(', ')),
    ...few('variables', recordChanges(variablesOf(a), variablesOf(b))),
    change('cpu', a.cpu, b.cpu),
    change('memory', gigabytes(a), gigabytes(b)),
    change('os', a.os, b.os),
  ];
  return changes.filter((text) => text !== '').join('; ');
}

function packageChanges(a: AttemptEnvironment, b: AttemptEnvironment): string[] {
  const changes = recordChanges(versionsOf(a), versionsOf(b));
  const [digest, other] = [a.python?.digest, b.python?.digest];
  const differ = digest !== undefined && other !== undefined && digest !== other;
  // the list is cut at a length, the digest covers all of it
  return differ && changes.length === 0 ? ['packages beyond those listed'] : changes;
}

/** `numpy==2.0` → numpy: 2.0 */
function versionsOf({ python }: AttemptEnvironment): Record<string, string> {
  return Object.fromEntries(
    (python?.packages ?? []).map((text) => {
      const at = text.indexOf('==');
      return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 2)];
    }),
  );
}

function variablesOf({ variables }: AttemptEnvironment): Record<string, string> {
  return Object.fromEntries(
    Object.entries(variables).filter(([name]) => !OF_THE_RUN.includes(name)),
  );
}

function recordChanges(
  a: Readonly<Record<string, string>>,
  b: Readonly<Record<string, string>>,
): string[] {
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])].sort();
  return names.map((name) => change(name, a[name], b[name])).filter((text) => text !== '');
}

function change(name: string, a: string | undefined, b: string | undefined): string {
  if (a === b) return '';
  if (a === undefined) return `${name} ${b ?? ''} is new`;
  return b === undefined ? `${name} ${a} is gone` : `${name} ${a} → ${b}`;
}

function few(what: string, changes: readonly string[]): string[] {
  const more = changes.length - CHANGES_MAX;
  return more <= 0 ? [...changes] : [...changes.slice(0, CHANGES_MAX), `${more} more ${what}`];
}

function gigabytes({ memoryBytes }: AttemptEnvironment): string {
  return `${(memoryBytes / 1024 ** 3).toFixed(0)} GiB`;
}
