/** The public surface of Anneal: what `import … from 'anneal'` gives. */
export { pipeline } from './pipeline';
export type { Pipeline } from './pipeline';
export { ArtifactReference, ItemsReference, Reference } from './references';
export { artifact, metric, step } from './step';
export type { ArtifactKind, ArtifactSchema, FunctionStep, MetricOutput, StepContext } from './step';
