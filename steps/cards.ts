import { existsSync } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isAppError } from '../errors/app-error';
import { CARD_BYTES_MAX, CARDS_MAX, CardName, isJson } from '../schemas/cards';
import type { Http } from '../sdk/http';
import { openOwned } from '../sdk/uploads';
import type { NodeContext } from './attempt';
import type { Workplace } from './contract';
import type { LogShipper } from './logs';
import { Looks } from './looks';

/** Soon enough for a person who reads along; a card may be a megabyte each time. */
const LOOK_MS = 3_000;
/** What is being written, or an editor's own file. */
const UNFINISHED = /^\.|\.tmp$|~$/;
/** Complaints about one attempt's cards: a step may write a new mistake every second. */
const NOTES_MAX = 10;
/** Names that are looked at: several times what may be kept. */
const NAMES_MAX = 100;

/** Whose cards, and whom to tell. */
export interface CardSource {
  readonly http: Http;
  readonly logs: LogShipper;
  readonly node: Pick<NodeContext, 'user'>;
  readonly place: Pick<Workplace, 'cardDir'>;
}

/**
 * Sends what a step writes to ANNEAL_CARD_DIR to the api whenever it has changed, without secrets. A
 * card that cannot be kept is no failure: why is noted once in the step's log.
 */
export class CardWatcher {
  private readonly source: CardSource;
  /** File stamps of the cards that were sent or refused. */
  private readonly done = new Map<string, string>();
  /** Stamps of .json files that held none: perhaps half written. */
  private readonly suspects = new Map<string, string>();
  private readonly kept = new Set<string>();
  private readonly noted = new Set<string>();
  private readonly looks = new Looks((told) => this.look(told), LOOK_MS);

  constructor(source: CardSource) {
    this.source = source;
  }

  start(): void {
    this.looks.start();
  }

  /** Sends the cards as a step that has ended left them; again changes nothing. */
  finish(): Promise<void> {
    return this.looks.finish();
  }

  private async look(told: { readonly isLast: boolean }): Promise<void> {
    const folder = this.source.place.cardDir;
    const all = await readdir(folder).catch(() => []); // the step removed it
    const names = all.filter((name) => !UNFINISHED.test(name)).sort();
    for (const name of names.slice(0, NAMES_MAX)) {
      const info = await lstat(join(folder, name)).catch(() => undefined); // replaced meanwhile
      if (info === undefined) continue;
      const stamp = [info.ino, info.size, info.mtimeMs].join('/');
      if (this.done.get(name) === stamp) continue;
      if (info.isSymbolicLink()) {
        this.note(name, 'it is a link, which may lead anywhere; write the file itself');
        this.done.set(name, stamp);
      } else if (await this.take(name, { ...told, stamp })) this.done.set(name, stamp);
    }
  }

  /** Sends a card or says why not; false if the next look must try again. */
  private async take(
    name: string,
    { stamp, isLast }: { readonly stamp: string; readonly isLast: boolean },
  ): Promise<boolean> {
    const problem = this.problemOf(name);
    if (problem !== undefined) return this.note(name, problem);
    const read = await this.read(name);
    if (read === undefined) return true; // gone
    if ('problem' in read) return this.note(name, read.problem);
    if (name.endsWith('.json') && !isJson(read.text)) {
      if (this.suspects.get(name) === stamp || isLast)
        return this.note(name, 'it is not valid JSON');
      this.suspects.set(name, stamp); // if it looks the same next time, nobody is writing any more
      return false;
    }
    return this.send(name, read.text);
  }

  private problemOf(name: string): string | undefined {
    const parsed = CardName.safeParse(name);
    if (!parsed.success) return `its name ${parsed.error.issues[0]?.message ?? 'is not valid'}`;
    if (this.kept.has(name) || this.kept.size < CARDS_MAX) return undefined;
    return `a step may have ${CARDS_MAX} cards; put several into one`;
  }

  private async read(
    name: string,
  ): Promise<{ readonly text: string } | { readonly problem: string } | undefined> {
    const file = join(this.source.place.cardDir, name);
    const handle = await openOwned(file, this.source.node.user?.uid).catch(() => undefined);
    if (handle === undefined) {
      if (!existsSync(file)) return undefined;
      return { problem: 'it cannot be read; write an ordinary file with the rights of the step' };
    }
    try {
      // one byte more tells that there is more, however fast the file grows
      const buffer = Buffer.alloc(CARD_BYTES_MAX + 1);
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
      const text = this.source.logs.masks.mask(buffer.toString('utf8', 0, bytesRead));
      const isTooLarge = bytesRead > CARD_BYTES_MAX || Buffer.byteLength(text) > CARD_BYTES_MAX;
      return isTooLarge ? { problem: 'it is larger than 1 MiB; show less of it' } : { text };
    } finally {
      await handle.close();
    }
  }

  private async send(name: string, text: string): Promise<boolean> {
    try {
      await this.source.http.post('/api/v1/attempts/self/cards', { name, text });
      this.kept.add(name);
      return true;
    } catch (error) {
      if (isAppError(error) && error.row.retryable) return false; // the next look tries again
      return this.note(name, error instanceof Error ? error.message : String(error));
    }
  }

  private note(name: string, why: string): true {
    const text = `the card ${name} is not kept: ${why}.`;
    if (this.noted.has(text) || this.noted.size >= NOTES_MAX) return true;
    this.noted.add(text);
    this.source.logs.add('anneal', text);
    return true;
  }
}
