import type { GraphNode } from '../schemas/graph';
import { append } from './group-by';

/** Which nodes stand in which foreach or sub-pipeline, by key. */
export class Members {
  private readonly keys = new Map<string, string[]>();

  add({ key, group }: GraphNode): void {
    if (group !== undefined) append(this.keys, group, key);
  }

  of(group: string): readonly string[] {
    return this.keys.get(group) ?? [];
  }

  /** All that stands inside, at any depth. */
  inside(group: string): string[] {
    return this.of(group).flatMap((key) => [...this.inside(key), key]);
  }
}
