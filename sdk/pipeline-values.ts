import { AppError } from '../errors/app-error';
import type { CommandInputs, InputPaths, OutputsOf } from './pipeline-types';
import { ArtifactReference, pathTo, Reference } from './references';
import type { OutputReferences, PathExpression } from './references';
import { artifactKindOf } from './step';
import type { MetricOutput } from './step';

/** A value with references in it as the language writes it: `${{ … }}` where a reference stood. */
export function toTemplate(value: unknown): unknown {
  if (value instanceof Reference) return value.toString();
  if (value instanceof ArtifactReference) {
    const message = `'${value.expression}' is an artifact: make it an input of its own.`;
    throw new AppError('INVALID_PLAN', message);
  }
  if (Array.isArray(value)) return value.map(toTemplate);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, toTemplate(inner)]));
}

/** An input of a step: the expression of a reference. */
export function toInput(value: unknown): string {
  if (value instanceof Reference || value instanceof ArtifactReference) return value.expression;
  throw new AppError(
    'INVALID_PLAN',
    'An input of a command must be a reference; put it into argv.',
  );
}

/** A declared output as the language writes it. */
export function outputToDocument(declared: unknown): unknown {
  if (isMetric(declared)) return declared;
  const kind = artifactKindOf(declared);
  if (kind === undefined) return 'value';
  const { artifactPath } = declared as { readonly artifactPath?: string };
  return artifactPath === undefined ? kind : { type: kind, path: artifactPath };
}

function isMetric(declared: unknown): declared is MetricOutput {
  return (
    declared !== null && typeof declared === 'object' && 'metric' in declared && 'pick' in declared
  );
}

/** The references to a step's outputs, by what it declared. */
export function outputsOf<Out extends object>(step: string, declared: Out): OutputsOf<Out> {
  const entries = Object.entries(declared).map(([name, of]) => {
    const reference = new Reference(pathTo('steps', step, 'outputs', name));
    const kind = artifactKindOf(of);
    return [
      name,
      kind === undefined ? reference : new ArtifactReference(kind, reference.expression),
    ];
  });
  return Object.fromEntries(entries) as OutputsOf<Out>;
}

/** References of the same names and kinds below another path. */
export function referencesAt(path: PathExpression, outputs: OutputReferences): OutputReferences {
  return mapEntries(outputs, (of, name) => {
    const reference = new Reference({ ...path, parts: [...path.parts, name] });
    const isArtifact = of instanceof ArtifactReference;
    return isArtifact ? new ArtifactReference(of.kind, reference.expression) : reference;
  });
}

/** `inputs.<name>.path` for every input of a command. */
export function pathsOf<I extends CommandInputs>(inputs: I | undefined): InputPaths<I> {
  const names = Object.keys(inputs ?? {});
  const entries = names.map((name) => [
    name,
    { path: new Reference(pathTo('inputs', name, 'path')) },
  ]);
  return Object.fromEntries(entries) as InputPaths<I>;
}

/** The same names with other values. */
export function mapEntries<T, R>(
  record: Readonly<Record<string, T>>,
  map: (value: T, key: string) => R,
): Record<string, R> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value, key)]));
}
