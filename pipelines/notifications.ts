import { AppError, requireArgument } from '../errors/app-error';
import type { EndedRun } from '../schemas/graph';
import type { Outputs } from '../schemas/plan';

/** What `builtin/notify` tells somebody outside. */
export interface Notification {
  /** Undefined: to the URL of the installation, if it has one. */
  readonly url: string | undefined;
  readonly body: Readonly<Record<string, string>>;
  readonly key: string;
}
export type SendNotification = (notification: Notification) => Promise<void>;

interface Notify {
  readonly projectId: string;
  readonly runId: string;
  readonly stepKey: string;
  readonly pipeline: string;
  /** How the run ended, in a handler. */
  readonly ended: EndedRun | undefined;
  readonly with: Readonly<Record<string, unknown>>;
}
const MESSAGE_CHARS_MAX = 4_000; // chat services cut longer ones

/** Sends the message of a step and keeps it as its output, also where nobody is to be told. */
export async function notify(send: SendNotification, given: Notify): Promise<Outputs> {
  const { projectId: project, runId: run, stepKey: step, pipeline, ended } = given;
  const { url, message = defaultMessage(given) } = given.with;
  requireArgument(url === undefined || typeof url === 'string', "'url' in with is not a text.");
  requireArgument(typeof message === 'string', "'message' in with is not a text.");
  if (message.length > MESSAGE_CHARS_MAX) {
    const text = `The message has ${message.length} characters; at most ${MESSAGE_CHARS_MAX} are sent.`;
    throw new AppError('TOO_LARGE', text);
  }
  const { status = 'running', reason = '' } = ended ?? {};
  // chat services show what stands under `text`
  const body = { text: message, project, pipeline, run, step, status, reason };
  await send({ url, body, key: `${run}/${step}` });
  return { message: { value: message } };
}

function defaultMessage({ pipeline, runId, stepKey, ended }: Notify): string {
  if (ended === undefined) return `${pipeline}: run ${runId} has come to ${stepKey}`;
  const why = ended.reason === '' ? '' : `: ${ended.reason}`;
  return `${pipeline}: run ${runId} ${ended.status}${why}`.slice(0, MESSAGE_CHARS_MAX);
}
