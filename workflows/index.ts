export { modelAliases } from './model-aliases';
export { runPipeline } from './run-pipeline';
export { runSegment } from './run-segment';
