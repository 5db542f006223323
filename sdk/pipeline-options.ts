import { mapEntries } from './pipeline-values';
import type { ForEachRules, StepOptions } from './pipeline-types';
import { Reference } from './references';

/** A step's options as the pipeline language writes them. */
export function optionsToDocument(options: StepOptions): Record<string, unknown> {
  const { env, retry, totalTimeout, cache, mlflow, ...same } = options;
  const { maxDelay, ...retryRest } = retry ?? {};
  return withoutUndefined({
    ...same,
    total_timeout: totalTimeout,
    mlflow: mlflow && withoutUndefined({ inject_run_id: mlflow.injectRunId }),
    retry: retry && withoutUndefined({ ...retryRest, max_delay: maxDelay }),
    env: env && Object.keys(env).length > 0 ? mapEntries(env, String) : undefined,
    cache: typeof cache === 'object' ? cacheToDocument(cache) : cache,
  });
}

function cacheToDocument({
  ttl,
  key,
}: Exclude<StepOptions['cache'], boolean | undefined>): unknown {
  const entries = key?.map((entry) => (entry instanceof Reference ? entry.expression : entry));
  const mapping = withoutUndefined({ ttl, key: entries });
  return Object.keys(mapping).length > 0 ? mapping : true;
}

/** The rules of a foreach as the pipeline language writes them. */
export function rulesToDocument(rules: ForEachRules): Record<string, unknown> {
  const { parallel, itemsMax, minSuccess, stopAfter } = rules;
  const mapping = { parallel, items_max: itemsMax, min_success: minSuccess, stop_after: stopAfter };
  return withoutUndefined(mapping);
}

function withoutUndefined(mapping: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(mapping).filter(([, value]) => value !== undefined));
}
