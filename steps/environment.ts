import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpus, release, totalmem, type } from 'node:os';
import { promisify } from 'node:util';
import type { AttemptTicket, ExecuteStepInput } from '../schemas/attempts';
import type { AttemptEnvironment } from '../schemas/pipeline-runs';
import type { Http } from '../sdk/http';
import type { NodeContext } from './attempt';
import { stepEnvironment } from './contract';
import type { Workplace } from './contract';
import type { LogShipper } from './logs';
import type { StepUser } from './step-user';

/** What is asked of the node must not last: it runs beside the step. */
const ASK_TIMEOUT_MS = 10_000;
/** The api takes 256 KiB in all; the digest covers the whole list. */
const PACKAGES_MAX = 2_000;
const TEXT_CHARS_MAX = 8_000;
/** Variables that change results and hold no secrets. */
const SHOWN =
  /^(CUDA_|NCCL_|OMP_|MKL_|OPENBLAS_|TORCH_|TF_|XLA_|JAX_|PYTHON|NODE_|LANG$|LC_|TZ$|VIRTUAL_ENV$|CONDA_|ANNEAL_SEED$)/;
const PACKAGES = `
import importlib.metadata as m, json, sys
names = sorted({f"{d.metadata['Name']}=={d.version}" for d in m.distributions()}, key=str.lower)
print(json.dumps({"version": sys.version, "packages": names}))`;

interface Reporting {
  readonly http: Http;
  readonly input: ExecuteStepInput;
  readonly logs: LogShipper;
  readonly node: NodeContext;
  readonly place: Workplace;
  readonly ticket: AttemptTicket;
}
/** The process that runs. */
interface Described {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly seed: number;
  readonly codeDigest: string | null;
  /** Whom we ask as: the interpreter may be the step's own file. */
  readonly user: StepUser | undefined;
}

/** Tells the api what a step runs in, beside the step: nobody waits for it but its end. */
export async function reportEnvironment(
  { http, input, logs, node, place, ticket }: Reporting,
  argv: readonly string[],
): Promise<void> {
  const env = stepEnvironment(input, ticket, { api: node.api, place, hasUser: false, secrets: {} });
  const codeDigest = ticket.code?.digest ?? null;
  const { cwd } = place;
  try {
    const seen = { argv, env, cwd, seed: ticket.seed, codeDigest, user: node.user };
    const text = logs.masks.mask(JSON.stringify(await describeEnvironment(seen)));
    await http.post('/api/v1/attempts/self/environment', JSON.parse(text));
  } catch {
    // it is there to compare attempts; none fails for the lack of it
  }
}

/** What a step runs in, for whoever compares two attempts; what a node cannot tell is left out. */
async function describeEnvironment(step: Described): Promise<AttemptEnvironment> {
  const { argv, env, seed, codeDigest } = step;
  const [python, gpus] = await Promise.all([describePython(step), describeGpus(step)]);
  const shown = Object.entries(env).filter(([name]) => SHOWN.test(name));
  return {
    command: argv.join(' ').slice(0, TEXT_CHARS_MAX),
    codeDigest,
    seed,
    os: `${type()} ${release()}`,
    cpu: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`,
    memoryBytes: totalmem(),
    node: process.version,
    ...(python !== undefined && { python }),
    ...(gpus !== undefined && { gpus }),
    variables: Object.fromEntries(shown.map(([k, v]) => [k, v.slice(0, 500)])),
  };
}

/** The Python that a command names, as the step's own PATH finds it. */
async function describePython(step: Described): Promise<AttemptEnvironment['python']> {
  const name = /(?:^|[\s/;&|])(python[\d.]*)(?=\s|$)/.exec(step.argv.join(' '))?.[1];
  if (name === undefined) return undefined;
  const isPath = step.argv[0]?.endsWith(`/${name}`) === true;
  const said = await ask(step, [isPath ? (step.argv[0] ?? name) : name, '-I', '-c', PACKAGES]);
  if (said === undefined) return undefined;
  const { version, packages } = JSON.parse(said) as { version: string; packages: string[] };
  const digest = createHash('sha256').update(packages.join('\n')).digest('hex');
  return { version, digest, packages: packages.slice(0, PACKAGES_MAX).map((p) => p.slice(0, 100)) };
}

async function describeGpus(step: Described): Promise<string[] | undefined> {
  const query = ['--query-gpu=name,driver_version,memory.total', '--format=csv,noheader'];
  const said = await ask(step, ['nvidia-smi', ...query]);
  return said?.trim().split('\n').slice(0, 64);
}

async function ask(
  { env, cwd, user }: Described,
  argv: readonly string[],
): Promise<string | undefined> {
  const [file = '', ...args] = argv;
  const options = { ...user, env: { PATH: env['PATH'] }, cwd, timeout: ASK_TIMEOUT_MS };
  return promisify(execFile)(file, args, options).then(
    ({ stdout }) => stdout,
    () => undefined, // there is none here
  );
}
