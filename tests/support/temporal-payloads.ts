import {
  defaultFailureConverter,
  defaultPayloadConverter,
  toPayloads,
  type Payload,
  type ProtoFailure,
} from '@temporalio/common';

/** Values and failures as they travel between a workflow and Temporal. */
export function encode(value: unknown): Payload {
  const [payload] = toPayloads(defaultPayloadConverter, value) ?? [];
  if (payload === undefined) throw new Error('nothing to encode');
  return payload;
}
export function decode(payload: Payload | null | undefined): unknown {
  return payload == null ? undefined : defaultPayloadConverter.fromPayload(payload);
}
export function decodeAll(payloads: readonly Payload[] | null | undefined): unknown[] {
  return (payloads ?? []).map(decode);
}

export function failureOf(error: Error): ProtoFailure {
  return defaultFailureConverter.errorToFailure(error, defaultPayloadConverter);
}

interface Named {
  readonly id: string;
  readonly name: string;
}
/** What core makes of an activity that threw. */
export function failedActivity({ id, name }: Named, cause: ProtoFailure): ProtoFailure {
  const activityFailureInfo = { activityId: id, activityType: { name }, identity: 'worker' };
  return { message: 'Activity task failed', activityFailureInfo, cause };
}
/** What core makes of an activity that ended since its scope was cancelled. */
export function cancelledActivity(activity: Named): ProtoFailure {
  const cause = { message: 'Activity task cancelled', canceledFailureInfo: {} };
  return failedActivity(activity, cause);
}
/** What core makes of a signal to a workflow that is not open. */
export function notFound(workflowId: string): ProtoFailure {
  const message = `Unable to signal external workflow because it was not found: ${workflowId}`;
  return { message, applicationFailureInfo: { type: 'ExternalWorkflowExecutionNotFound' } };
}
