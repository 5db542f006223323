import { explainEnvironments } from '../../pipelines/environments';
import type { AttemptEnvironment } from '../../schemas/pipeline-runs';

const python = { version: '3.11.7 (main)', digest: 'd1', packages: ['numpy==1.26', 'six==1.0'] };
const BASE: AttemptEnvironment = {
  command: 'python train.py',
  codeDigest: 'c1',
  seed: 1,
  os: 'Linux 6.1',
  cpu: '2 × Xeon',
  memoryBytes: 24 * 1024 ** 3,
  node: 'v20.20.2',
  python,
  variables: { OMP_NUM_THREADS: '4', ANNEAL_SEED: '1', PYTHONHASHSEED: '1' },
};
const explain = (changes: Partial<AttemptEnvironment>): string =>
  explainEnvironments(BASE, { ...BASE, ...changes });

it('says nothing of what belongs to the run: its seed, its command, its code', () => {
  const variables = { OMP_NUM_THREADS: '4', ANNEAL_SEED: '2', PYTHONHASHSEED: '2' };
  expect(explain({ seed: 2, command: 'x', codeDigest: null, variables })).toBe('');
});

it.each<[Partial<AttemptEnvironment>, string]>([
  [{ python: { ...python, version: '3.12.1 (main)' } }, 'python 3.11.7 → 3.12.1'],
  [
    { python: { ...python, digest: 'd2', packages: ['numpy==2.0', 'pandas==2.2'] } },
    'numpy 1.26 → 2.0; pandas 2.2 is new; six 1.0 is gone',
  ],
  [{ python: { ...python, digest: 'd2' } }, 'packages beyond those listed'],
  [{ gpus: ['A100'] }, 'gpus A100 is new'],
  [{ variables: { OMP_NUM_THREADS: '8' } }, 'OMP_NUM_THREADS 4 → 8'],
  [
    { cpu: '8 × Xeon', memoryBytes: 64 * 1024 ** 3 },
    'cpu 2 × Xeon → 8 × Xeon; memory 24 GiB → 64 GiB',
  ],
  [{ node: 'v22.1.0', os: 'Linux 6.8' }, 'node v20.20.2 → v22.1.0; os Linux 6.1 → Linux 6.8'],
])('tells what differs: %j', (changes, text) => {
  expect(explain(changes)).toBe(text);
});

it('counts what is too much to tell', () => {
  const packages = Array.from({ length: 13 }, (_, i) => `p${10 + i}==1`);
  const text = explainEnvironments(
    { ...BASE, python: { ...python, packages: [] } },
    { ...BASE, python: { ...python, packages } },
  );
  expect(text).toBe(`${packages.slice(0, 10).map((p) => `${p.replace('==', ' ')} is new`).join('; ')}; 3 more packages`); // prettier-ignore
});
