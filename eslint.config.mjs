import tseslint from 'typescript-eslint';

const houseSizes = {
  'max-lines': ['error', { max: 300 }],
  'max-lines-per-function': ['error', { max: 60 }],
  'max-params': ['error', 3],
  'no-console': 'error',
  'no-restricted-properties': [
    'error',
    { object: 'process', property: 'env', message: 'Only config/ reads the environment.' },
  ],
};
const pureIsolate = {
  '@typescript-eslint/no-restricted-imports': [
    'error',
    {
      patterns: [
        { group: ['node:*', 'zod', 'yaml'], message: 'Runs in the workflow isolate.' },
        {
          group: ['**/activities/*', '**/storage/*', '**/schemas/*'],
          allowTypeImports: true,
          message: 'Workflows see only types of it: import type.',
        },
      ],
    },
  ],
};

export default tseslint.config(
  { ignores: ['dist/**', 'node_modules/**', '.anneal/**', '.venv/**', 'coverage/**'] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      // not projectService: it builds the program twice
      parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      ...houseSizes,
      // tsconfig's erasableSyntaxOnly leaves no enum to look for, and looking takes seconds
      '@typescript-eslint/no-unsafe-enum-assignment': 'off',
      '@typescript-eslint/no-unsafe-enum-comparison': 'off',
      '@typescript-eslint/no-mixed-enums': 'off',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/consistent-type-imports': [
        'error',
        { fixStyle: 'separate-type-imports' },
      ],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-unnecessary-condition': [
        'error',
        { allowConstantLoopConditions: true },
      ],
    },
  },
  { files: ['workflows/**/*.ts'], rules: pureIsolate },
  { files: ['config/**/*.ts'], rules: { 'no-restricted-properties': 'off' } },
  { files: ['cli/output.ts', 'examples/**/*.ts'], rules: { 'no-console': 'off' } },
  {
    // fastify's hooks and test doubles are async by contract; tests read long scenarios in one piece
    files: ['tests/**/*.ts', 'bench/**/*.ts'],
    rules: {
      'max-lines-per-function': 'off',
      // labs are taken apart, and jest's matchers and parsed answers are `any`
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      'no-restricted-properties': 'off',
      'no-console': 'off',
    },
  },
);
