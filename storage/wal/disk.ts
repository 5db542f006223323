import { constants } from 'node:fs';
import { mkdir, open, readdir, rename, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

/** An open file. Positions and sizes in bytes. */
export interface DiskFile {
  size(): Promise<number>;
  /** Writes all bytes or throws; after an error any prefix of them may be there. */
  write(bytes: Buffer, position: number): Promise<void>;
  /** Fewer bytes than asked for only at the end of the file. */
  read(position: number, length: number): Promise<Buffer>;
  /** Returns when everything written before is on the disk. */
  sync(): Promise<void>;
  /** Cuts the file and makes the cut durable. */
  truncate(size: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * The few operations of a file system that the log needs, in one folder, so that a test can lose
 * power between any two of them. Names have no path.
 */
export interface Disk {
  list(): Promise<string[]>;
  /** `create` empties the file if it exists. */
  open(name: string, how: 'create' | 'existing'): Promise<DiskFile>;
  /** Replaces `to` in one step; durable after `syncFolder`. */
  rename(from: string, to: string): Promise<void>;
  /** No error if the file is not there. */
  remove(name: string): Promise<void>;
  /** Makes created, renamed and removed names durable. */
  syncFolder(): Promise<void>;
}

/** The real file system below `folder`, which is made if it is missing. */
export async function openDisk(folder: string): Promise<Disk> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return {
    list: () => readdir(folder),
    async open(name, how) {
      const flags = how === 'create' ? 'w+' : constants.O_RDWR;
      return wrap(await open(join(folder, name), flags, 0o600));
    },
    rename: (from, to) => rename(join(folder, from), join(folder, to)),
    remove: (name) => rm(join(folder, name), { force: true }),
    async syncFolder() {
      const handle = await open(folder, constants.O_RDONLY);
      await handle.sync().finally(() => handle.close());
    },
  };
}

function wrap(handle: FileHandle): DiskFile {
  return {
    size: async () => (await handle.stat()).size,
    async write(bytes, position) {
      let done = 0;
      while (done < bytes.length) {
        const left = bytes.length - done;
        done += (await handle.write(bytes, done, left, position + done)).bytesWritten;
      }
    },
    async read(position, length) {
      const bytes = Buffer.allocUnsafe(length);
      let done = 0;
      while (done < length) {
        const got = await handle.read(bytes, done, length - done, position + done);
        if (got.bytesRead === 0) break;
        done += got.bytesRead;
      }
      return bytes.subarray(0, done);
    },
    sync: () => handle.datasync(),
    async truncate(size) {
      await handle.truncate(size);
      await handle.sync();
    },
    close: () => handle.close(),
  };
}
