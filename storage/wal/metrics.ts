import type { MetricBatch, MetricPoint } from '../../schemas/metrics';

/*
 * A batch as it stands in the log, little-endian:
 *   version (1), run id (16), attempt (4), points (4), project (2 + UTF-8), keys (2), each key
 *   (2 + UTF-8); then by column: key number (2 each), steps, timestamps, values (doubles, 8 each).
 * At 26 bytes a point this is a third of its text, and the disk is what acknowledging waits for.
 */
const VERSION = 1;
const HEAD_BYTES = 25;
const POINT_BYTES = 26;

/** Writes a batch whose keys, steps and times are within their limits. */
export function encodeMetrics(batch: MetricBatch): Buffer {
  const numbers = new Map<string, number>();
  for (const { key } of batch.points) if (!numbers.has(key)) numbers.set(key, numbers.size);
  const texts = [batch.projectId, ...numbers.keys()].map((text) => Buffer.from(text));
  const size = texts.reduce((sum, text) => sum + 2 + text.length, HEAD_BYTES + 2);
  const count = batch.points.length;
  const bytes = Buffer.allocUnsafe(size + count * POINT_BYTES);
  bytes.writeUInt8(VERSION, 0);
  bytes.write(batch.runId, 1, 16, 'hex');
  bytes.writeUInt32LE(batch.attempt, 17);
  bytes.writeUInt32LE(count, 21);
  let at = HEAD_BYTES;
  texts.forEach((text, i) => {
    at = bytes.writeUInt16LE(text.length, at);
    at += text.copy(bytes, at);
    if (i === 0) at = bytes.writeUInt16LE(numbers.size, at);
  });
  for (const { key } of batch.points) at = bytes.writeUInt16LE(numbers.get(key) ?? 0, at);
  for (const { step } of batch.points) at = bytes.writeDoubleLE(step, at);
  for (const { timestampMs } of batch.points) at = bytes.writeDoubleLE(timestampMs, at);
  for (const { value } of batch.points) at = bytes.writeDoubleLE(value, at);
  return bytes;
}

/** Reads what `encodeMetrics` wrote. */
export function decodeMetrics(bytes: Buffer): MetricBatch {
  const version = bytes.readUInt8(0);
  if (version !== VERSION) throw new Error(`a batch of unknown version ${version} is in the log`);
  const runId = bytes.toString('hex', 1, 17);
  const attempt = bytes.readUInt32LE(17);
  const count = bytes.readUInt32LE(21);
  let at = HEAD_BYTES;
  const text = (): string => {
    const start = at + 2;
    at = start + bytes.readUInt16LE(at);
    return bytes.toString('utf8', start, at);
  };
  const projectId = text();
  const keys = Array.from({ length: bytes.readUInt16LE(at) });
  at += 2;
  const names = keys.map(text);
  const columns = at + count * 2;
  const points: MetricPoint[] = [];
  for (let i = 0; i < count; i++) {
    points.push({
      key: names[bytes.readUInt16LE(at + i * 2)] ?? '',
      step: bytes.readDoubleLE(columns + i * 8),
      timestampMs: bytes.readDoubleLE(columns + (count + i) * 8),
      value: bytes.readDoubleLE(columns + (2 * count + i) * 8),
    });
  }
  return { projectId, runId, attempt, points };
}
