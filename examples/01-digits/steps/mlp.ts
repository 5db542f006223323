import { CLASSES, createRandom, PIXELS, shuffled, type Table } from './digits';

/**
 * A perceptron with one hidden layer (ReLU) and a softmax, trained by mini-batch gradient descent
 * with momentum 0.9 on cross-entropy (Goodfellow, Bengio, Courville, Deep Learning, ch. 6 and 8).
 */
export interface Model {
  readonly hidden: number;
  readonly w1: Float64Array; // hidden × 64
  readonly b1: Float64Array;
  readonly w2: Float64Array; // 10 × hidden
  readonly b2: Float64Array;
}
type Layer = 'w1' | 'b1' | 'w2' | 'b2';
const LAYERS: readonly Layer[] = ['w1', 'b1', 'w2', 'b2'];

/** Everything that training needs to go on exactly where it stopped. */
export interface TrainingState {
  readonly epoch: number; // epochs done
  readonly model: Model;
  readonly velocity: Model;
}

export interface TrainOptions {
  readonly learningRate: number;
  readonly batchSize: number;
  readonly seed: number;
}
const MOMENTUM = 0.9;

function emptyModel(hidden: number): Model {
  return {
    hidden,
    w1: new Float64Array(hidden * PIXELS),
    b1: new Float64Array(hidden),
    w2: new Float64Array(CLASSES * hidden),
    b2: new Float64Array(CLASSES),
  };
}

/** He initialisation (He et al. 2015) from the seed. */
export function initialState(hidden: number, seed: number): TrainingState {
  const model = emptyModel(hidden);
  const random = createRandom(seed);
  const fill = (weights: Float64Array, inputs: number): void => {
    for (let i = 0; i < weights.length; i += 1) {
      const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
      weights[i] = normal * Math.sqrt(2 / inputs);
    }
  };
  fill(model.w1, PIXELS);
  fill(model.w2, hidden);
  return { epoch: 0, model, velocity: emptyModel(hidden) };
}

/** One pass over the data in an order that depends on seed and epoch alone. Returns mean loss. */
export function trainEpoch(
  state: TrainingState,
  data: Table,
  options: TrainOptions,
): { state: TrainingState; loss: number } {
  const order = shuffled(data.y.length, options.seed * 100_003 + state.epoch);
  let loss = 0;
  for (let start = 0; start < order.length; start += options.batchSize) {
    const gradient = emptyModel(state.model.hidden);
    const batch = order.subarray(start, start + options.batchSize);
    for (const row of batch) loss += addGradient(state.model, gradient, rowOf(data, row));
    applyGradient(state, gradient, options.learningRate / batch.length);
  }
  return { state: { ...state, epoch: state.epoch + 1 }, loss: loss / order.length };
}

interface Row {
  readonly x: Float64Array;
  readonly y: number;
}
function rowOf(data: Table, row: number): Row {
  return { x: data.x.subarray(row * PIXELS, (row + 1) * PIXELS), y: data.y[row] ?? 0 };
}

function applyGradient(state: TrainingState, gradient: Model, rate: number): void {
  for (const layer of LAYERS) {
    const velocity = state.velocity[layer];
    const weights = state.model[layer];
    const slope = gradient[layer];
    for (let i = 0; i < weights.length; i += 1) {
      velocity[i] = MOMENTUM * (velocity[i] ?? 0) - rate * (slope[i] ?? 0);
      weights[i] = (weights[i] ?? 0) + (velocity[i] ?? 0);
    }
  }
}

function forward(model: Model, x: Float64Array): { h: Float64Array; p: Float64Array } {
  const h = new Float64Array(model.hidden);
  for (let j = 0; j < model.hidden; j += 1) {
    let sum = model.b1[j] ?? 0;
    const base = j * PIXELS;
    for (let i = 0; i < PIXELS; i += 1) sum += (model.w1[base + i] ?? 0) * (x[i] ?? 0);
    h[j] = sum > 0 ? sum : 0;
  }
  const p = new Float64Array(CLASSES);
  for (let k = 0; k < CLASSES; k += 1) {
    let sum = model.b2[k] ?? 0;
    const base = k * model.hidden;
    for (let j = 0; j < model.hidden; j += 1) sum += (model.w2[base + j] ?? 0) * (h[j] ?? 0);
    p[k] = sum;
  }
  const top = Math.max(...p);
  let total = 0;
  for (let k = 0; k < CLASSES; k += 1) total += p[k] = Math.exp((p[k] ?? 0) - top);
  for (let k = 0; k < CLASSES; k += 1) p[k] = (p[k] ?? 0) / total;
  return { h, p };
}

/** Adds the gradient of one row's cross-entropy; returns that cross-entropy. */
function addGradient(model: Model, into: Model, row: Row): number {
  const { h, p } = forward(model, row.x);
  const back = new Float64Array(model.hidden);
  for (let k = 0; k < CLASSES; k += 1) {
    const error = (p[k] ?? 0) - (k === row.y ? 1 : 0);
    into.b2[k] = (into.b2[k] ?? 0) + error;
    const base = k * model.hidden;
    for (let j = 0; j < model.hidden; j += 1) {
      into.w2[base + j] = (into.w2[base + j] ?? 0) + error * (h[j] ?? 0);
      back[j] = (back[j] ?? 0) + error * (model.w2[base + j] ?? 0);
    }
  }
  for (let j = 0; j < model.hidden; j += 1) {
    if ((h[j] ?? 0) <= 0) continue;
    const error = back[j] ?? 0;
    into.b1[j] = (into.b1[j] ?? 0) + error;
    const base = j * PIXELS;
    for (let i = 0; i < PIXELS; i += 1) {
      into.w1[base + i] = (into.w1[base + i] ?? 0) + error * (row.x[i] ?? 0);
    }
  }
  return -Math.log(Math.max(p[row.y] ?? 0, 1e-300));
}

/** The share of rows classified right, over all and per digit. */
export function accuracyOf(model: Model, data: Table): { overall: number; perClass: number[] } {
  const right = new Array<number>(CLASSES).fill(0);
  const count = new Array<number>(CLASSES).fill(0);
  for (let row = 0; row < data.y.length; row += 1) {
    const { x, y } = rowOf(data, row);
    const { p } = forward(model, x);
    count[y] = (count[y] ?? 0) + 1;
    if (p.indexOf(Math.max(...p)) === y) right[y] = (right[y] ?? 0) + 1;
  }
  const sum = right.reduce((a, b) => a + b, 0);
  return { overall: sum / data.y.length, perClass: right.map((r, k) => r / (count[k] ?? 1)) };
}

const bytes = (a: Float64Array): string =>
  Buffer.from(a.buffer, a.byteOffset, a.byteLength).toString('base64');
const numbers = (text: string): Float64Array => {
  const raw = Buffer.from(text, 'base64');
  return new Float64Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength));
};

/** A model as JSON: base64 of little-endian float64, so that not one bit is lost. */
export function modelToJson(model: Model): Record<Layer | 'hidden', string | number> {
  const { w1, b1, w2, b2, hidden } = model;
  return { hidden, w1: bytes(w1), b1: bytes(b1), w2: bytes(w2), b2: bytes(b2) };
}
export function modelFromJson(json: unknown): Model {
  const { hidden, w1, b1, w2, b2 } = json as Record<Layer, string> & { hidden: number };
  return { hidden, w1: numbers(w1), b1: numbers(b1), w2: numbers(w2), b2: numbers(b2) };
}
