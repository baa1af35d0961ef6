import { createHash } from "node:crypto";
import type { StateStore } from "./driver.ts";
import { decodeParked, encodeParked, type ParkedEvent } from "./parked-event.ts";

/** Of a bucket, a name. */
type Entry = readonly [bucket: string, name: string];

/** Halted keys, and what waits behind them: no bucket of a user's is called so. */
export const haltedBucket = ".halted";
const parkedBucket = ".parked";
const digits = 15;
const utf8 = new TextEncoder();

/** Why a key's events wait. */
export interface Halt {
  readonly key: string;
  /** The event whose letter it waits for. */
  readonly id: string;
  /** The event whose message hands out what is parked, and ends with the letter of `id`. */
  readonly via: string | undefined;
  /** Of the parked ones' names: a garbage one of an earlier halt is never handed out. */
  readonly epoch: string;
  /** The number of the next that is parked. */
  readonly next: number;
}
export interface StoredHalt extends Halt {
  readonly name: string;
  readonly revision: string;
}
export interface StoredParked {
  readonly name: string;
  readonly revision: string;
  readonly event: ParkedEvent;
}

/** A key may hold any text, of any length; names of the store may not. */
export const haltName = (group: string, key: string): string =>
  `${group}/${createHash("sha256").update(key).digest("base64url")}`;
const placeOf = (halt: StoredHalt): string => `${halt.name}/${halt.epoch}/`;
const encode = ({ key, id, via, epoch, next }: Halt): Uint8Array =>
  utf8.encode(JSON.stringify({ key, id, via, epoch, next }));

/** The halted keys of one group as the state store has them; every change by its revision. */
export class HaltedKeys {
  readonly #state: StateStore;
  readonly #group: string;

  constructor(state: StateStore, group: string) {
    this.#state = state;
    this.#group = group;
  }

  names(): AsyncIterable<string> {
    return this.#state.keys(haltedBucket, `${this.#group}/`);
  }

  async any(): Promise<boolean> {
    for await (const _ of this.names()) return true;
    return false;
  }

  async watch(signal: AbortSignal, halted: (name: string, key: string) => void): Promise<void> {
    for await (const { key: name, value } of this.#state.watch(haltedBucket, `${this.#group}/`, signal))
      if (value !== undefined) halted(name, read(value).key);
  }

  async get(name: string): Promise<StoredHalt | undefined> {
    const found = await this.#state.get(haltedBucket, name);
    return found === undefined ? undefined : { ...read(found.value), name, revision: found.revision };
  }

  of(key: string): Promise<StoredHalt | undefined> {
    return this.get(haltName(this.#group, key));
  }

  /** Halts the key by this event, unless it is halted already. How it is halted now. */
  async halt(key: string, id: string, epoch: string): Promise<StoredHalt> {
    const name = haltName(this.#group, key);
    for (;;) {
      // before it is halted: whoever is late with it would sweep what is parked behind a later halt
      const left = await this.#left(name);
      const halt: Halt = { key, id, via: undefined, epoch, next: 0 };
      const revision = await this.#state.put(haltedBucket, name, encode(halt), { expect: null });
      if (revision !== undefined) {
        for (const each of left) await this.#state.delete(parkedBucket, each);
        return { ...halt, name, revision };
      }
      const there = await this.get(name);
      if (there !== undefined) return there;
    }
  }

  /** Undefined: it changed meanwhile. */
  async change(halt: StoredHalt, to: Partial<Halt>): Promise<StoredHalt | undefined> {
    const changed = { ...halt, ...to };
    const revision = await this.#state.put(haltedBucket, halt.name, encode(changed), { expect: halt.revision });
    return revision === undefined ? undefined : { ...changed, revision };
  }

  /** False: something was parked meanwhile, or it is no longer halted so. */
  release(halt: StoredHalt): Promise<boolean> {
    return this.#state.delete(haltedBucket, halt.name, halt.revision);
  }

  /** Behind all that is parked. False: the key is not halted any more, and it is not parked. */
  async park(halt: StoredHalt, event: ParkedEvent): Promise<boolean> {
    let number = halt.next;
    let stored: string | undefined;
    let name: string;
    for (;;) {
      name = `${placeOf(halt)}${String(number).padStart(digits, "0")}`;
      stored = await this.#state.put(parkedBucket, name, encodeParked(event), { expect: null });
      if (stored !== undefined) break;
      number += 1; // a former owner's, or of who died before it was counted
    }
    let now: StoredHalt | undefined = halt;
    while (now !== undefined && now.epoch === halt.epoch) {
      if ((await this.change(now, { next: Math.max(now.next, number + 1) })) !== undefined) return true;
      now = await this.get(halt.name);
    }
    const isThere = await this.#state.delete(parkedBucket, name, stored);
    // gone already: it was handed out before the end, or, where the key is halted anew, perhaps swept with what an earlier halt left
    return now === undefined && !isThere;
  }

  /** Names of what is parked, oldest first. */
  async parked(halt: StoredHalt): Promise<readonly string[]> {
    const names: string[] = [];
    for await (const name of this.#state.keys(parkedBucket, placeOf(halt))) names.push(name);
    return names.sort();
  }

  async event(name: string): Promise<StoredParked | undefined> {
    const found = await this.#state.get(parkedBucket, name);
    return found === undefined ? undefined : { name, revision: found.revision, event: decodeParked(found.value) };
  }

  /** Undefined: another hands it out. */
  async rewrite(parked: StoredParked, changes: Partial<ParkedEvent>): Promise<StoredParked | undefined> {
    const event = { ...parked.event, ...changes };
    const revision = await this.#state.put(parkedBucket, parked.name, encodeParked(event), {
      expect: parked.revision,
    });
    return revision === undefined ? undefined : { name: parked.name, revision, event };
  }

  remove(parked: StoredParked): Promise<boolean> {
    return this.#state.delete(parkedBucket, parked.name, parked.revision);
  }

  /** Everything of the group that is there now: halts first. */
  async all(): Promise<readonly Entry[]> {
    const found: Entry[] = [];
    for (const bucket of [haltedBucket, parkedBucket])
      for await (const name of this.#state.keys(bucket, `${this.#group}/`)) found.push([bucket, name]);
    return found;
  }

  async removeAll(entries: readonly Entry[]): Promise<void> {
    for (const [bucket, name] of entries) await this.#state.delete(bucket, name);
  }

  /** Of these the halts, and what is parked behind them, by events that nothing is kept of. */
  async removeUnless(entries: readonly Entry[], kept: (id: string) => Promise<boolean>): Promise<void> {
    for (const [bucket, name] of entries) {
      const halt = bucket === haltedBucket ? await this.get(name) : undefined;
      if (halt === undefined || (await kept(halt.id)) || !(await this.release(halt))) continue;
      for (const each of await this.parked(halt)) await this.#state.delete(parkedBucket, each);
    }
  }

  /** What earlier halts of the key left, whose owners died between two writes; of one that stands, what is parked. */
  async #left(name: string): Promise<readonly string[]> {
    const names: string[] = [];
    for await (const each of this.#state.keys(parkedBucket, `${name}/`)) names.push(each);
    return names;
  }
}

const read = (value: Uint8Array): Halt => JSON.parse(new TextDecoder().decode(value)) as Halt;
