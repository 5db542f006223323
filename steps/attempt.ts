import type { ExecuteStepResult } from '../schemas/attempts';
import type { StepFailure, StopCause } from './failures';
import type { StepUser } from './step-user';

/** One node: where it is, whom it calls, where it may write. */
export interface NodeContext {
  readonly name: string;
  readonly api: string;
  readonly token: string;
  readonly folder: string;
  /** The compiled steps/runner.ts, which runs function steps. */
  readonly runner: string;
  /** How many bytes of unpacked code bundles stay on the node's disk; 5 GiB unless given. */
  readonly codeCacheBytesMax?: number;
  /** How long a step may be silent before people are told; ten minutes unless given. */
  readonly stallMs?: number;
  /** Whom steps run as, if not as the worker. */
  readonly user?: StepUser | undefined;
}
/** How the activity that runs the step is told to stop, and says that it lives. */
export interface StepSignals {
  heartbeat(details: unknown): void;
  /** Resolves with the cause when the step must stop; never resolves otherwise. */
  readonly stop: Promise<Exclude<StopCause, 'timeout' | 'stalled'>>;
}
/** How a step ended on this node. */
export type StepOutcome =
  | { readonly kind: 'succeeded'; readonly result: ExecuteStepResult }
  | { readonly kind: 'failed'; readonly failure: StepFailure }
  | { readonly kind: 'cancelled' };
/** What is known of an attempt while it runs. */
export interface AttemptState {
  cause: StopCause | undefined;
  /** Name of the newest checkpoint that is safe. */
  checkpoint: string | undefined;
  /** How much of the step is done, as it said last. */
  fraction: number | undefined;
  isPreparing: boolean;
}
