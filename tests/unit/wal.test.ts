import { openWalOn, type Durability, type Wal } from '../../storage/wal/wal';
import { seeded, SimDisk } from '../support/sim-disk';

/** Small, so that blocks freeze and segments rotate all the time. */
const LIMITS = { segmentBytes: 700, blockRows: 8, queueBytes: 1e6, backlogBytes: 1e6 };

/** What clients and stores remember of one simulated installation. */
interface World {
  readonly disk: SimDisk;
  readonly random: () => number;
  readonly durability: Durability;
  readonly acknowledged: Set<string>;
  readonly stored: Map<string, readonly string[]>; // token → batches, as ClickHouse keeps tokens
  readonly logged: string[];
  sent: number;
}

function world(seed: number, durability: Durability = 'fsync'): World {
  const random = seeded(seed);
  const disk = new SimDisk(random);
  const memory = { acknowledged: new Set<string>(), stored: new Map<string, readonly string[]>() };
  return { disk, random, durability, ...memory, logged: [], sent: 0 };
}
function open(on: World, limits: Partial<typeof LIMITS> = LIMITS): Promise<Wal> {
  const log = (line: Record<string, unknown>): unknown => on.logged.push(String(line['msg']));
  return openWalOn(on.disk.mount(), { durability: on.durability, limits, log });
}
async function send(on: World, wal: Wal): Promise<void> {
  on.sent += 1;
  const name = `batch-${on.sent}-${'x'.repeat(Math.floor(on.random() * 60))}`;
  await wal.append(Buffer.from(name), 1 + Math.floor(on.random() * 4));
  on.acknowledged.add(name);
}
/** Stores the oldest block as the flusher does; a token that was seen must bring the same rows. */
async function storeOne(on: World, wal: Wal): Promise<boolean> {
  const block = wal.next();
  if (block === undefined) return false;
  const batches = (await wal.read(block)).map(String);
  const before = on.stored.get(block.token);
  if (before === undefined) on.stored.set(block.token, batches);
  else expect(batches).toEqual(before);
  await wal.checkpoint(block);
  return true;
}
async function drain(on: World, wal: Wal): Promise<void> {
  await wal.freeze();
  while (await storeOne(on, wal));
}
/** Everything acknowledged is stored once; what was not acknowledged at most once. */
function expectExactlyOnce(on: World): void {
  const all = [...on.stored.values()].flat();
  const once = new Set(all);
  expect(all.length).toBe(once.size);
  expect([...on.acknowledged].filter((name) => !once.has(name))).toEqual([]);
}

/** Clients and a flusher at work until the work is done or the machine stops. */
async function live(on: World): Promise<void> {
  const wal = await open(on);
  const clients = Array.from({ length: 3 }, async () => {
    for (let i = 0; i < 6; i++) await send(on, wal);
  });
  const flusher = async (): Promise<void> => {
    for (let i = 0; i < 8; i++) {
      if (on.random() < 0.5) await wal.freeze();
      await storeOne(on, wal);
    }
  };
  await Promise.all([...clients, flusher()]);
}

async function simulate(on: World, how: 'power' | 'kill'): Promise<void> {
  for (let round = 0; round < 3; round++) {
    on.disk.crashAt = 1 + Math.floor(on.random() * 70);
    const crash = new Promise<void>((resolve) => (on.disk.onCrash = resolve));
    await Promise.race([live(on), crash]);
    on.disk.restart(how);
  }
  await drain(on, await open(on));
  expectExactlyOnce(on);
}

describe('write-ahead log', () => {
  it('keeps what it acknowledged through 1,500 sequences of power cuts', async () => {
    for (let seed = 1; seed <= 1_500; seed++) await simulate(world(seed), 'power');
  });

  it.each(['fsync', 'interval', 'memory'] as const)(
    'keeps what it acknowledged through kills of the process (%s)',
    async (durability) => {
      for (let seed = 1; seed <= 300; seed++) await simulate(world(seed, durability), 'kill');
    },
  );

  it('survives a power cut at every single operation of one run', async () => {
    const dry = world(7);
    await live(dry);
    const operations = dry.disk.operations;
    expect(operations).toBeGreaterThan(50);
    for (let at = 1; at <= operations; at++) {
      const on = world(7);
      on.disk.crashAt = at;
      const crash = new Promise<void>((resolve) => (on.disk.onCrash = resolve));
      await Promise.race([live(on), crash]);
      on.disk.restart('power');
      await drain(on, await open(on));
      expectExactlyOnce(on);
    }
  });

  it('keeps what it acknowledges after a power cut that cost what was never synced', async () => {
    for (let seed = 1; seed <= 200; seed++) {
      const on = world(seed, 'memory');
      await live(on);
      on.disk.restart('power');
      on.acknowledged.clear();
      on.stored.clear();
      await live(on);
      on.disk.restart('kill');
      await drain(on, await open(on));
      expectExactlyOnce(on);
    }
  });

  it('does not pass when the disk lies about its syncs', async () => {
    // the same simulation must be able to fail: `memory` promises nothing across a power cut
    let lost = 0;
    for (let seed = 1; seed <= 50; seed++) {
      await simulate(world(seed, 'memory'), 'power').catch(() => (lost += 1));
    }
    expect(lost).toBeGreaterThan(0);
  });
});

describe('write-ahead log on a bad disk', () => {
  it('takes nothing of a group that does not fit, and goes on when there is space', async () => {
    const on = world(1);
    const wal = await open(on);
    await send(on, wal);
    on.disk.space = 20;
    await expect(send(on, wal)).rejects.toMatchObject({ code: 'STORAGE_FULL' });
    await expect(wal.freeze()).rejects.toMatchObject({ code: 'STORAGE_FULL' });
    on.disk.space = Infinity;
    await send(on, wal);
    on.disk.restart('power');
    await drain(on, await open(on));
    expectExactlyOnce(on);
    expect([...on.stored.values()].flat()).toHaveLength(2);
  });

  it('stays in its segment while there is no space for a new one', async () => {
    const on = world(1);
    const wal = await open(on, { ...LIMITS, segmentBytes: 200 });
    on.disk.space = 230;
    for (let i = 0; i < 10; i++) await send(on, wal).catch(() => undefined);
    on.disk.space = Infinity;
    for (let i = 0; i < 10; i++) await send(on, wal);
    on.disk.restart('power');
    await drain(on, await open(on));
    expectExactlyOnce(on);
  });

  it('takes nothing more after a failed sync', async () => {
    const on = world(1);
    const wal = await open(on);
    await send(on, wal);
    on.disk.failSync = true;
    await expect(send(on, wal)).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
    on.disk.failSync = false;
    await expect(send(on, wal)).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
    on.disk.restart('power');
    await drain(on, await open(on));
    expectExactlyOnce(on);
  });

  it('keeps what can be read of a damaged segment, a copy of it, and says so', async () => {
    const on = world(3);
    const wal = await open(on, { ...LIMITS, blockRows: 1000, segmentBytes: 1e6 });
    for (let i = 0; i < 3; i++) await wal.append(Buffer.from(`batch ${i}`), 1);
    await wal.freeze();
    on.disk.corrupt('0000000001.wal', 28 + 13 + 7 + 13 + 2); // in the payload of the second batch
    on.disk.restart('kill');
    await drain(on, await open(on));
    expect([...on.stored.values()].flat()).toEqual(['batch 0', 'batch 2']);
    expect(on.logged).toContainEqual(expect.stringContaining('damaged'));
    expect(on.disk.contents('0000000001.wal.damaged').includes('batch 2')).toBe(true);
  });

  it('cuts a torn end off without a word: nobody was promised it', async () => {
    const on = world(3);
    const wal = await open(on);
    await wal.append(Buffer.from('whole'), 1);
    const whole = on.disk.contents('0000000001.wal').length;
    on.disk.space = 9;
    on.disk.failTruncate = true;
    await expect(send(on, wal)).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
    expect(on.disk.contents('0000000001.wal').length).toBe(whole + 9);
    on.disk.space = Infinity;
    on.disk.failTruncate = false;
    on.disk.restart('kill');
    await open(on);
    expect(on.disk.contents('0000000001.wal').length).toBe(whole);
    expect(on.logged.filter((line) => line.includes('damaged'))).toEqual([]);
  });

  it('stores a block under the same token though its boundary record is lost', async () => {
    const on = world(3);
    const wal = await open(on, { ...LIMITS, blockRows: 1000, segmentBytes: 1e6 });
    await wal.append(Buffer.from('one'), 1);
    await wal.freeze();
    const token = wal.next()?.token;
    await wal.append(Buffer.from('two'), 1);
    await wal.freeze();
    on.disk.corrupt('0000000001.wal', 28 + 13 + 3 + 13 + 1);
    on.disk.restart('kill');
    expect((await open(on)).next()?.token).toBe(token);
  });

  it('stores everything again when the checkpoint is damaged', async () => {
    const on = world(4);
    const wal = await open(on, { ...LIMITS, segmentBytes: 1e6 });
    await send(on, wal);
    await drain(on, wal);
    on.disk.corrupt('checkpoint', 0);
    on.disk.restart('kill');
    const again = await open(on);
    expect(again.next()).toBeDefined();
    await drain(on, again);
    expectExactlyOnce(on);
  });
});

describe('bounds of the write-ahead log', () => {
  it('refuses more than it may hold, and takes it once blocks are stored', async () => {
    const on = world(5);
    const wal = await open(on, { ...LIMITS, backlogBytes: 600 });
    const many = Array.from({ length: 30 }, () => send(on, wal));
    const refused = (await Promise.allSettled(many)).filter((one) => one.status === 'rejected');
    expect(refused.length).toBeGreaterThan(0);
    expect(refused[0]).toMatchObject({ reason: { code: 'RATE_LIMITED' } });
    await drain(on, wal);
    await send(on, wal);
    await drain(on, wal);
    expectExactlyOnce(on);
  });

  it('refuses a batch that no frame can hold', async () => {
    const wal = await open(world(6));
    const append = wal.append(Buffer.alloc(16 * 1024 * 1024 + 1), 1);
    await expect(append).rejects.toMatchObject({ code: 'TOO_LARGE' });
  });

  it('does not store again what is checkpointed', async () => {
    const on = world(8);
    const wal = await open(on);
    for (let i = 0; i < 40; i++) await send(on, wal);
    await drain(on, wal);
    on.disk.restart('kill');
    expect((await open(on)).next()).toBeUndefined();
  });

  it('removes segments that are stored', async () => {
    const on = world(8);
    const wal = await open(on);
    for (let i = 0; i < 60; i++) await send(on, wal);
    await drain(on, wal);
    const names = await on.disk.mount().list();
    expect(names.filter((name) => name.endsWith('.wal')).length).toBeLessThanOrEqual(2);
  });

  it('lets all that wait share one sync', async () => {
    const on = world(9);
    const wal = await open(on, {});
    const before = on.disk.operations;
    await Promise.all(Array.from({ length: 100 }, () => wal.append(Buffer.from('x'), 1)));
    expect(on.disk.operations - before).toBe(2); // one write, one sync
  });
});
