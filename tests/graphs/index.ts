import * as choices from './choices';
import * as orders from './orders';
import * as repeats from './repeats';
import * as written from './written';
import type { Shape } from './shape';

/** Every shape by its name. */
export const SHAPES: Readonly<Record<string, () => Shape>> = {
  ...orders,
  ...choices,
  ...repeats,
  ...written,
};
