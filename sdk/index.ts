/** The public surface of Anneal: what `import … from 'anneal'` gives. */
export { artifact, metric, step } from './step';
export type { ArtifactKind, ArtifactSchema, FunctionStep, MetricOutput, StepContext } from './step';
