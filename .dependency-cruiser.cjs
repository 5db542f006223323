// The laws of docs/architecture.md as import rules: data flows one way, nothing points back.
const below = {
  schemas:
    '^(errors|config|dag|storage|tracker|registry|pipelines|activities|workflows|api|workers|steps|sdk|cli|dev)/',
  dag: '^(config|storage|tracker|registry|pipelines|activities|workflows|api|workers|steps|sdk|cli|dev)/',
  storage: '^(dag|tracker|registry|pipelines|activities|workflows|api|workers|steps|sdk|cli|dev)/',
  '(tracker|registry|pipelines)': '^(activities|workflows|api|workers|steps|sdk|cli|dev)/',
  activities: '^(api|workers|steps|sdk|cli|dev)/',
  api: '^(activities|workers|steps|cli|dev)/',
  'steps/|^sdk': '^(storage|tracker|registry|pipelines|activities|api|cli|dev)/',
};
/** workflows/contract.ts is names and types: everyone may read it. */
const contract = '^workflows/contract\\.ts$';

module.exports = {
  forbidden: [
    {
      name: 'no-circular',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    ...Object.entries(below).map(([from, to]) => ({
      name: `nothing-points-back-from-${from.replace(/\W+/g, '-')}`,
      severity: 'error',
      from: { path: `^${from}/` },
      to: { path: to, pathNot: contract },
    })),
    {
      name: 'workflows-see-only-types-and-dag',
      severity: 'error',
      from: { path: '^workflows/' },
      to: {
        path: '^(?!workflows/|dag/)',
        pathNot: 'node_modules/@temporalio/(workflow|common)',
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'temporal-client-only-in-starter-sdk-tests',
      severity: 'error',
      from: { pathNot: '^(api/starter(\\.ts$|/)|sdk/|tests/|bench/|examples/)' },
      to: { path: 'node_modules/@temporalio/client', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'step-worker-holds-no-database',
      severity: 'error',
      from: { path: '^workers/step\\.ts$' },
      to: { path: '^(storage|tracker|registry|pipelines)/', reachable: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|\\.anneal|\\.venv|coverage)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['node', 'require', 'types'],
    },
  },
};
