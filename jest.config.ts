/** @jest-config-loader esbuild-register */
import { availableParallelism } from 'node:os';
import type { Config } from 'jest';

const transform: Config['transform'] = {
  '^.+\\.ts$': [
    '@swc/jest',
    {
      swcrc: false,
      jsc: { target: 'es2022', parser: { syntax: 'typescript' } },
      module: { type: 'commonjs' },
      sourceMaps: 'inline',
    },
  ],
};

/** unit: pure. storage: real Postgres, chDB, S3. workflow: real Temporal. end-to-end: the whole stack. */
function project(
  displayName: string,
  extra: Partial<Config> = {},
): NonNullable<Config['projects']>[0] {
  return {
    displayName,
    testEnvironment: 'node',
    testMatch: [`<rootDir>/tests/${displayName}/**/*.test.ts`],
    transform,
    moduleNameMapper: { '^anneal$': '<rootDir>/sdk/index.ts' },
    modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/.anneal/'],
    ...extra,
  };
}

const database = {
  globalSetup: '<rootDir>/tests/support/global-setup.ts',
  globalTeardown: '<rootDir>/tests/support/global-teardown.ts',
};

// most tests wait for a process, a server or a timer: even two cores carry three files at once
const config: Config = {
  maxWorkers: Math.max(3, availableParallelism() - 1),
  projects: [
    project('unit'),
    project('storage', database),
    project('workflow', database),
    project('end-to-end', database),
  ],
  testTimeout: 60_000,
};

export default config;
