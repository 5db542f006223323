import { constants, existsSync } from 'node:fs';
import { cp, mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { extract } from 'tar';
import { fetchFile } from './downloads';
import type { Downloader, Source } from './downloads';

/** Where a node keeps unpacked code bundles, and how many bytes of them at most. */
export interface CodeCache {
  readonly folder: string;
  readonly bytesMax: number;
}

/** Another worker may have the same folder and remove a bundle that is being copied here. */
const COPIES_MAX = 3;
/** What is not a bundle is being fetched, or was left behind by a killed worker. */
const LEFTOVER_MS = 24 * 3_600_000;
const BUNDLE = /^[0-9a-f]{64}$/;

/** How many attempts of this process copy from a bundle just now, and its size in bytes, by its folder. */
const users = new Map<string, number>();
const sizes = new Map<string, number>();

/**
 * Copies a code bundle into an attempt's folder, which the step may write into. It is fetched and
 * unpacked once per digest; then the bundles used longest ago go until the cache keeps its limit.
 */
export async function copyCode(
  downloader: Downloader,
  code: Source & { readonly to: string },
  cache: CodeCache,
): Promise<void> {
  const bundle = join(cache.folder, code.digest);
  users.set(bundle, (users.get(bundle) ?? 0) + 1);
  try {
    for (let copies = 1; ; copies += 1) {
      if (await fetchCode(downloader, code, bundle)) await evict(cache).catch(() => undefined);
      try {
        await utimes(bundle, new Date(), new Date());
        await cp(bundle, code.to, { recursive: true, mode: constants.COPYFILE_FICLONE });
        return;
      } catch (error) {
        if (existsSync(bundle) || copies >= COPIES_MAX) throw error;
      }
    }
  } finally {
    const left = (users.get(bundle) ?? 1) - 1;
    if (left > 0) users.set(bundle, left);
    else users.delete(bundle);
  }
}

/** Unpacks a bundle into its folder unless it is there; true if it was not. */
async function fetchCode(downloader: Downloader, code: Source, bundle: string): Promise<boolean> {
  if (existsSync(bundle)) return false;
  const temporary = `${bundle}.${crypto.randomUUID()}`;
  const archive = `${temporary}.tar.gz`;
  try {
    await downloader.http.repeat(() => fetchFile(downloader, code, archive));
    await mkdir(temporary, { recursive: true });
    // tar refuses absolute paths and '..'; links, which could lead outside, are left out
    const filter = (_path: string, entry: object): boolean =>
      'type' in entry && entry.type !== 'SymbolicLink' && entry.type !== 'Link';
    await extract({ file: archive, cwd: temporary, strict: true, filter });
    await rename(temporary, bundle).catch((error: unknown) => {
      if (!existsSync(bundle)) throw error;
    }); // another attempt was quicker
  } finally {
    await rm(archive, { force: true });
    await rm(temporary, { recursive: true, force: true });
  }
  return true;
}

/** Removes bundles, those used longest ago first, until the rest fits; never one in use. */
async function evict({ folder, bytesMax }: CodeCache): Promise<void> {
  const found: { bundle: string; usedMs: number; bytes: number }[] = [];
  for (const name of await readdir(folder)) {
    const bundle = join(folder, name);
    const info = await stat(bundle).catch(() => undefined); // removed meanwhile
    if (info === undefined) continue;
    const usedMs = info.mtimeMs;
    if (BUNDLE.test(name)) found.push({ bundle, usedMs, bytes: await sizeOf(bundle) });
    else if (Date.now() - usedMs > LEFTOVER_MS) await rm(bundle, { recursive: true, force: true });
  }
  let total = found.reduce((sum, { bytes }) => sum + bytes, 0);
  for (const { bundle, bytes } of found.sort((a, b) => a.usedMs - b.usedMs)) {
    if (total <= bytesMax) return;
    if (users.has(bundle)) continue;
    // by rename: whoever looks finds the whole bundle or none
    const removed = `${bundle}.${crypto.randomUUID()}`;
    await rename(bundle, removed);
    await rm(removed, { recursive: true, force: true });
    sizes.delete(bundle);
    total -= bytes;
  }
}

/** Of the files of a bundle, which never change. */
async function sizeOf(bundle: string): Promise<number> {
  const known = sizes.get(bundle);
  if (known !== undefined) return known;
  let bytes = 0;
  for (const name of await readdir(bundle, { recursive: true })) {
    bytes += (await stat(join(bundle, name))).size;
  }
  sizes.set(bundle, bytes);
  return bytes;
}
