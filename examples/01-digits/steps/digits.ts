import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

/** Images as rows of 64 numbers, flat, with their digits. */
export interface Table {
  readonly x: Float64Array; // rows × 64
  readonly y: Uint8Array; // rows
}
export const PIXELS = 64;
export const CLASSES = 10;

/** Reads the CSV as shipped: 64 pixels 0…16 and the digit per line. */
export function readDigits(path: string): Table {
  const lines = gunzipSync(readFileSync(path)).toString('utf8').trim().split('\n');
  const x = new Float64Array(lines.length * PIXELS);
  const y = new Uint8Array(lines.length);
  lines.forEach((line, row) => {
    const cells = line.split(',').map(Number);
    if (cells.length !== PIXELS + 1) throw new Error(`line ${String(row + 1)} has no 65 cells`);
    x.set(cells.slice(0, PIXELS), row * PIXELS);
    y[row] = cells[PIXELS] ?? 0;
  });
  return { x, y };
}

/** mulberry32: a small seeded generator of numbers in [0, 1), the same on every machine. */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** The numbers 0 … count-1 in a seeded random order (Fisher–Yates). */
export function shuffled(count: number, seed: number): Uint32Array {
  const random = createRandom(seed);
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    const held = order[i] ?? 0;
    order[i] = order[j] ?? 0;
    order[j] = held;
  }
  return order;
}

/** The chosen rows, in the order given. */
export function takeRows(table: Table, rows: Uint32Array): Table {
  const x = new Float64Array(rows.length * PIXELS);
  const y = new Uint8Array(rows.length);
  rows.forEach((row, to) => {
    x.set(table.x.subarray(row * PIXELS, (row + 1) * PIXELS), to * PIXELS);
    y[to] = table.y[row] ?? 0;
  });
  return { x, y };
}

/** A table as JSON, for files between steps. */
export function tableToJson(table: Table): string {
  return JSON.stringify({ x: Array.from(table.x), y: Array.from(table.y) });
}
export function tableFromJson(text: string): Table {
  const { x, y } = JSON.parse(text) as { x: number[]; y: number[] };
  return { x: Float64Array.from(x), y: Uint8Array.from(y) };
}
