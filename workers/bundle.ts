import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Written by the build next to the compiled folders. */
const BUNDLE = join(__dirname, '..', 'workflow-bundle.js');

/**
 * The workflows for `Worker.create`: the bundle of the build, made with the very same sources and
 * SDK; without a build (tests) the sources, which the worker bundles in about two seconds.
 */
export function workflowSource():
  { readonly workflowBundle: { readonly codePath: string } } | { readonly workflowsPath: string } {
  if (existsSync(BUNDLE)) return { workflowBundle: { codePath: BUNDLE } };
  return { workflowsPath: require.resolve('../workflows') };
}
