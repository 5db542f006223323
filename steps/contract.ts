import { join } from 'node:path';
import { environment } from '../config/config';
import type { ExecuteStepInput } from '../schemas/attempts';
import type { AttemptTicket } from '../schemas/attempts';

/** Where one attempt works. All folders exist. */
export interface Workplace {
  readonly root: string;
  readonly cwd: string;
  readonly outputDir: string;
  readonly checkpointDir: string;
  readonly cardDir: string;
  readonly paramsFile: string;
  readonly statusFile: string;
  readonly resumeFrom: string | undefined;
  /** Input name → path (an artifact, a list of them) or text (a value). */
  readonly inputs: Readonly<Record<string, string>>;
  /** The same for a function step: a path (an artifact) or JSON, with paths in place of artifacts. */
  readonly values: Readonly<Record<string, unknown>>;
}

/** What a step sees of the worker's own environment: never a token of ours. */
const INHERITED = [
  'PATH',
  'HOME',
  'LANG',
  'LC_ALL',
  'TZ',
  'TMPDIR',
  'USER',
  'LD_LIBRARY_PATH',
  'VIRTUAL_ENV',
  'NODE_EXTRA_CA_CERTS',
  'REQUESTS_CA_BUNDLE',
  'SSL_CERT_FILE',
  'CUDA_VISIBLE_DEVICES',
];
/** A restart of the api takes seconds; the client waits that out instead of failing the training. */
const MLFLOW_RETRIES = 7;

/** The folders of one attempt below `root`. */
export function placesBelow(
  root: string,
): Pick<Workplace, 'outputDir' | 'checkpointDir' | 'cardDir' | 'paramsFile' | 'statusFile'> {
  return {
    outputDir: join(root, 'outputs'),
    checkpointDir: join(root, 'checkpoints'),
    cardDir: join(root, 'cards'),
    paramsFile: join(root, 'params.json'),
    statusFile: join(root, 'status.json'),
  };
}

/** The variables that a step's process may rely on (the contract of steps). */
export function stepEnvironment(
  input: ExecuteStepInput,
  ticket: AttemptTicket,
  context: {
    readonly api: string;
    readonly place: Workplace;
    readonly hasUser: boolean;
    readonly secrets: Readonly<Record<string, string>>;
  },
): Record<string, string> {
  const { api, place, hasUser, secrets } = context;
  const own = environment();
  const inherited = INHERITED.flatMap((name) => {
    const value = own[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  const inputs = Object.entries(place.inputs).map(
    ([name, value]) => [`ANNEAL_INPUT_${name.toUpperCase().replaceAll('-', '_')}`, value] as const,
  );
  return {
    ...Object.fromEntries(inherited),
    ...(hasUser && { HOME: place.root }), // the worker's own is closed to it
    MLFLOW_TRACKING_URI: api,
    MLFLOW_TRACKING_TOKEN: ticket.token,
    MLFLOW_EXPERIMENT_NAME: ticket.pipeline,
    MLFLOW_ENABLE_ASYNC_LOGGING: 'true',
    MLFLOW_HTTP_REQUEST_MAX_RETRIES: String(MLFLOW_RETRIES),
    MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING: 'false', // needs psutil; a step may switch it on
    ANNEAL_API: api,
    ANNEAL_RUN_ID: input.runId,
    ANNEAL_STEP: input.stepKey,
    ANNEAL_ATTEMPT: String(input.attempt),
    ANNEAL_PARAMS_FILE: place.paramsFile,
    ANNEAL_OUTPUT_DIR: place.outputDir,
    ANNEAL_CHECKPOINT_DIR: place.checkpointDir,
    ANNEAL_RESUME_FROM: place.resumeFrom ?? '',
    ANNEAL_GRACE_SECONDS: String(input.graceSeconds),
    ANNEAL_STATUS_FILE: place.statusFile,
    ANNEAL_CARD_DIR: place.cardDir,
    ANNEAL_SEED: String(ticket.seed),
    PYTHONHASHSEED: String(ticket.seed),
    PYTHONUNBUFFERED: '1',
    TRACEPARENT: traceParent(input),
    ...Object.fromEntries(inputs),
    ...fillInputs(ticket.env, place),
    ...secrets,
  };
}

/** Puts the paths of inputs where the api, which cannot know them, left a mark. */
export function fillInput(text: string, place: Pick<Workplace, 'inputs'>): string {
  return text.replace(
    /\{\{anneal-input:([\w-]+)\}\}/g,
    (mark, name: string) => place.inputs[name] ?? mark,
  );
}

function fillInputs(
  env: Readonly<Record<string, string>>,
  place: Workplace,
): Record<string, string> {
  return Object.fromEntries(Object.entries(env).map(([k, v]) => [k, fillInput(v, place)]));
}

/** W3C Trace Context: the pipeline run is the trace, the attempt a span of it. */
function traceParent(input: ExecuteStepInput): string {
  const hex = (text: string, length: number): string =>
    Buffer.from(text).toString('hex').padStart(length, '0').slice(-length);
  const trace = /^[0-9a-f]{32}$/.test(input.runId) ? input.runId : hex(input.runId, 32);
  return `00-${trace}-${hex(`${input.stepKey}#${input.attempt}`, 16)}-01`;
}
