import type { Disk, DiskFile } from '../../storage/wal/disk';

/** The operation that was under way when the power went never answers. */
const NEVER = new Promise<never>(() => undefined);

/** A generator of numbers in [0, 1) that gives the same sequence for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

interface Inode {
  durable: Buffer;
  current: Buffer;
  writes: { position: number; bytes: Buffer }[]; // since the last sync
}
/** Awaited at the point of an operation where the power may go. */
type Crash = () => Promise<void>;
type NameChange = { readonly name: string; readonly inode: Inode | undefined };

/**
 * A disk in memory that loses what a real one may lose with the power: unsynced writes survive
 * whole, in part or not at all and in any order; unsynced names survive up to some point.
 */
export class SimDisk {
  readonly #random: () => number;
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  #changes: NameChange[] = [];
  operations = 0;
  /** The power goes during this operation. */
  crashAt = Infinity;
  /** Bytes that still fit; Infinity is a disk without end. */
  space = Infinity;
  failSync = false;
  failTruncate = false;
  #process = 0;
  onCrash: () => void = () => undefined;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** What a new process finds: after a power cut, or after its predecessor was only killed. */
  restart(how: 'power' | 'kill'): void {
    if (how === 'power') this.#losePower();
    this.#process += 1;
    this.crashAt = Infinity;
    this.operations = 0;
  }

  /** The disk as the running process sees it: after a restart its operations never answer. */
  mount(): Disk {
    const process = this.#process;
    const step = (): Promise<Crash> => this.#step(process);
    return {
      list: async () => {
        await step();
        return [...this.#names.keys()];
      },
      open: async (name, how) => {
        const crashed = await step();
        const inode = how === 'create' ? this.#create(name) : this.#get(name);
        await crashed();
        return this.#file(inode, step);
      },
      rename: async (from, to) => {
        const crashed = await step();
        this.#change({ name: to, inode: this.#get(from) });
        this.#change({ name: from, inode: undefined });
        await crashed();
      },
      remove: async (name) => {
        const crashed = await step();
        if (this.#names.has(name)) this.#change({ name, inode: undefined });
        await crashed();
      },
      syncFolder: async () => {
        const crashed = await step();
        await crashed();
        this.#durableNames = new Map(this.#names);
        this.#changes = [];
      },
    };
  }

  /** Flips a bit, as a bad disk does. */
  corrupt(name: string, position: number): void {
    const inode = this.#get(name);
    inode.current[position] = (inode.current[position] ?? 0) ^ 0x10;
    inode.durable = Buffer.from(inode.current);
  }
  contents(name: string): Buffer {
    return Buffer.from(this.#get(name).current);
  }

  #create(name: string): Inode {
    const inode: Inode = { durable: Buffer.alloc(0), current: Buffer.alloc(0), writes: [] };
    this.#change({ name, inode });
    return inode;
  }

  #file(inode: Inode, step: () => Promise<Crash>): DiskFile {
    return {
      size: () => Promise.resolve(inode.current.length),
      write: async (bytes, position) => {
        const crashed = await step();
        const fits = Math.min(bytes.length, this.space);
        const copy = Buffer.from(bytes.subarray(0, fits));
        inode.writes.push({ position, bytes: copy });
        inode.current = overlay(inode.current, { position, bytes: copy });
        this.space -= fits;
        await crashed();
        if (fits < bytes.length) throw Object.assign(new Error('full'), { code: 'ENOSPC' });
      },
      read: async (position, length) => {
        await step();
        return Buffer.from(inode.current.subarray(position, position + length));
      },
      sync: async () => {
        const crashed = await step();
        await crashed();
        if (this.failSync) throw Object.assign(new Error('bad disk'), { code: 'EIO' });
        inode.durable = Buffer.from(inode.current);
        inode.writes = [];
      },
      truncate: async (size) => {
        const crashed = await step();
        if (this.failTruncate) throw Object.assign(new Error('bad disk'), { code: 'EIO' });
        inode.current = Buffer.from(inode.current.subarray(0, size));
        await crashed();
        inode.durable = Buffer.from(inode.current);
        inode.writes = [];
      },
      close: () => Promise.resolve(),
    };
  }

  /** Counts an operation; the power goes in the middle of the chosen one. */
  async #step(process: number): Promise<Crash> {
    await Promise.resolve();
    if (process !== this.#process) return NEVER;
    this.operations += 1;
    if (this.operations < this.crashAt) return () => Promise.resolve();
    return () => {
      this.#process += 1;
      this.onCrash();
      return NEVER;
    };
  }

  #get(name: string): Inode {
    const inode = this.#names.get(name);
    if (inode === undefined) throw Object.assign(new Error(`no ${name}`), { code: 'ENOENT' });
    return inode;
  }

  #change(change: NameChange): void {
    this.#changes.push(change);
    apply(this.#names, change);
  }

  #losePower(): void {
    const kept = Math.floor(this.#random() * (this.#changes.length + 1));
    for (const change of this.#changes.slice(0, kept)) apply(this.#durableNames, change);
    this.#names = new Map(this.#durableNames);
    this.#changes = [];
    for (const inode of this.#names.values()) {
      for (const { position, bytes } of inode.writes) {
        const fate = this.#random();
        if (fate < 0.3) continue;
        const [from, to] =
          fate < 0.6 ? [0, bytes.length] : [0, Math.floor(this.#random() * bytes.length)];
        const part = { position: position + from, bytes: bytes.subarray(from, to) };
        inode.durable = overlay(inode.durable, part);
      }
      inode.writes = [];
      inode.current = Buffer.from(inode.durable);
    }
  }
}

function apply(names: Map<string, Inode>, change: NameChange): void {
  if (change.inode === undefined) names.delete(change.name);
  else names.set(change.name, change.inode);
}
function overlay(old: Buffer, write: { position: number; bytes: Buffer }): Buffer {
  const size = Math.max(old.length, write.position + write.bytes.length);
  const bytes = Buffer.alloc(size); // a hole reads as zeros
  old.copy(bytes);
  write.bytes.copy(bytes, write.position);
  return bytes;
}
