import type { Core } from "./core.ts";
import type { Headers, StateStore } from "./driver.ts";
import { BusError } from "./errors.ts";
import { HaltedKeys, haltName, type StoredHalt } from "./halted-keys.ts";
import { eventIdOf, haltingId } from "./letter.ts";
import { givenUpFor, readHistory } from "./message-history.ts";
import { parkedOf } from "./parked-event.ts";
import { open } from "./receiving.ts";
import { errorFields } from "./status-board.ts";
import { asked } from "./stored-letter.ts";
import type { Broker } from "./supervisor.ts";
import { header } from "./wire-names.ts";
import type { Work } from "./work.ts";

const againMs = 1_000;
const atOnce = 64;

/** What the member does for it; each is called for a work that was taken, or given up by its handlers. */
export interface HaltHost {
  readonly group: string;
  /** Whether what is given up halts its key. */
  readonly halts: boolean;
  readonly closing: boolean;
  /** It goes on to the handlers. */
  resume(work: Work): void;
  ack(work: Work): void;
  lose(work: Work): void;
  note(work: Work, attempts: number, headers: Headers): Promise<"done" | "stale" | "unknown">;
  /** Its letter is stored, then it is settled. */
  bury(work: Work, error: unknown, halts: boolean): void;
  /** How many of the window wait here (`held`) changed. */
  load(): void;
  /** Hands out what is parked behind it. Resolves when nothing is left, or it is halted anew, or it was lost. */
  drain(work: Work, store: HaltedKeys): Promise<void>;
}

/**
 * The halted keys of a group, as one member sees them. Which there are is read when a partition is taken up, before its first event
 * goes on: who halted a key wrote that down before it let the partition go. From then on this member itself is who halts keys of it.
 * That a key is free again is asked of the store for each event that would be parked, so nothing here need be fresh for that.
 */
export class KeyHalts {
  readonly #core: Core;
  readonly #broker: Broker;
  readonly #host: HaltHost;
  /** The halted keys that are known here; one may be free by now. By name too. */
  readonly #keys = new Set<string>();
  readonly #names = new Set<string>();
  /** When each name was learned last, by a count of all. */
  readonly #marks = new Map<string, number>();
  #learned = 0;
  /** Partitions whose halted keys were read since they were taken up. */
  readonly #read = new Set<string>();
  readonly #reading = new Map<string, Promise<void>>();
  #current: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;
  readonly #flows = new Set<Promise<void>>();
  /** What takes long: they are not to keep others out of the window. */
  readonly #held = new Set<Work>();
  #watching: AbortController | undefined;

  constructor(core: Core, broker: Broker, host: HaltHost) {
    this.#core = core;
    this.#broker = broker;
    this.#host = host;
  }

  get held(): number {
    return this.#held.size;
  }

  takes(work: Work): boolean {
    const { message, key, halt } = work;
    if (key === undefined || work.local || halt !== undefined) return false;
    const error = givenUpFor(work);
    if (error !== undefined) {
      this.#open(work);
      this.halt(work, error); // whoever noted it may have stored the letter: it is the same one
      return true;
    }
    if (message.lane === "queue" && message.header(header.halts) !== undefined) {
      this.#follow(work, "reading a halted key", () => this.#answer(work));
      return true;
    }
    if (!this.#host.halts) return false;
    if (!this.#read.has(placeOf(work))) {
      this.#follow(work, "reading halted keys", () => this.#readBefore(work));
      return true;
    }
    if (!this.#keys.has(key)) return false;
    this.#follow(work, "parking", () => this.#park(work));
    return true;
  }

  /** Its letter is about to be stored. */
  halt(work: Work, error: unknown): void {
    this.#follow(work, "halting a key", async () => {
      const id = eventIdOf(work, this.#core.clock.now());
      const noted = await this.#host.note(work, work.attempts, [
        [header.givenUp, "1"], // whoever gets it next does not run it
        [header.letterEventId, id], // and halts its key by the same, though he may read what we could not
      ]);
      if (noted === "stale" || work.revoked) return this.#host.lose(work);
      if (noted === "unknown") throw new BusError("BUS_SERVER", "its attempts could not be noted");
      const store = await this.#store();
      const halt = await store.halt(work.key!, id, this.#core.ids.next());
      this.#learn(halt.name, halt.key);
      if (halt.id === id) return this.#host.bury(work, error, true);
      // an event of another lane, that another owner had, was faster: this one becomes a letter, and halts the key, when it is its turn
      const parked = parkedOf(work, this.#core.clock.now());
      const event = { ...parked, notes: [...parked.notes, [header.givenUp, "1"] as const] };
      if (await store.park(halt, event)) this.#host.ack(work);
      else throw new BusError("BUS_CONFLICT", "the key was freed meanwhile");
    });
  }

  /** A replay that its key waited for was handled. */
  handled(work: Work): void {
    this.#follow(work, "handing out what is parked", async () => {
      const noted = await this.#host.note(work, work.attempts, [[header.drains, "1"]]); // whoever gets it next does not run it again
      if (noted === "stale" || work.revoked) return this.#host.lose(work);
      if (noted === "unknown") throw new BusError("BUS_SERVER", "that it was handled could not be noted");
      await this.#drain(work, await this.#store());
    });
  }

  /** Ownership of a partition ended, or of all. */
  forget(partition?: string): void {
    if (partition === undefined) {
      for (const each of [this.#read, this.#reading, this.#keys, this.#names, this.#marks]) each.clear();
      return;
    }
    this.#read.delete(partition);
    this.#reading.delete(partition);
  }

  /** What was last learned of it. */
  mark(key: string): number | undefined {
    return this.#marks.get(haltName(this.#host.group, key));
  }

  /** That a key was free behind the mark. Called while its event is the one of its key that is in hand. */
  free(key: string, mark: number | undefined): void {
    if (mark !== this.mark(key)) return; // it may be halted anew; else the next of the key finds out
    const name = haltName(this.#host.group, key);
    this.#keys.delete(key);
    this.#names.delete(name);
    this.#marks.delete(name);
  }

  /** What others halt: by events of the group's queue, which have no order with those of its streams. */
  watch(): void {
    if (this.#watching !== undefined || !this.#host.halts) return;
    const { signal } = (this.#watching = new AbortController());
    void this.#watch(signal);
  }

  /** Nothing is begun any more; resolves when nothing of it is under way. */
  async stop(): Promise<void> {
    this.#watching?.abort();
    this.#watching = undefined;
    while (this.#flows.size > 0) await Promise.all(this.#flows);
  }

  // ── each may be begun again from its start

  async #readBefore(work: Work): Promise<void> {
    const place = placeOf(work);
    let reading = this.#reading.get(place);
    if (reading === undefined) this.#reading.set(place, (reading = this.#readAll()));
    try {
      await reading;
      if (this.#reading.get(place) === reading) this.#read.add(place);
    } finally {
      if (this.#reading.get(place) === reading) this.#reading.delete(place);
    }
    this.#host.resume(work);
  }

  /** From now on; one at a time, and the next is everybody's who asks meanwhile. */
  #readAll(): Promise<void> {
    return (this.#next ??= this.#current
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        return (this.#current = this.#readNames());
      }));
  }

  async #readNames(): Promise<void> {
    const store = await this.#store();
    const names: string[] = [];
    const learn = async (): Promise<void> => {
      const halts = await Promise.all(names.splice(0).map((name) => store.get(name)));
      for (const halt of halts) if (halt !== undefined) this.#learn(halt.name, halt.key);
    };
    for await (const name of store.names()) {
      if (!this.#names.has(name)) names.push(name);
      if (names.length === atOnce) await learn();
    }
    await learn();
  }

  async #park(work: Work): Promise<void> {
    this.#open(work);
    const id = eventIdOf(work, this.#core.clock.now());
    const store = await this.#store();
    let halt: StoredHalt | undefined;
    let mark: number | undefined;
    do {
      mark = this.mark(work.key!);
      halt = await store.of(work.key!);
      if (this.#isOver(work)) return;
    } while (halt === undefined && mark !== this.mark(work.key!)); // it may be halted anew since it was read
    if (halt === undefined) {
      this.free(work.key!, mark);
      return this.#host.resume(work);
    }
    if (halt.id === id) return await this.#buryAgain(work, id);
    if (await store.park(halt, parkedOf(work, this.#core.clock.now()))) this.#host.ack(work);
    else throw new BusError("BUS_CONFLICT", "the key was freed meanwhile");
  }

  /** It halted its key itself, and came again before its letter was stored, or another copy of it came. */
  async #buryAgain(work: Work, id: string): Promise<void> {
    const letter = await asked(this.#broker, "reading a dead letter", ({ admin }) =>
      admin.letter(`${this.#host.group}/${id}`),
    );
    if (this.#isOver(work)) return;
    if (letter !== undefined) return this.#host.ack(work);
    readHistory(work);
    this.#host.bury(work, new BusError("BUS_HANDLER", work.history.at(-1)?.error ?? "it was given up before"), true);
  }

  /** The letter by which a key is halted was replayed or discarded. */
  async #answer(work: Work): Promise<void> {
    const { message } = work;
    const id = haltingId(message)!;
    const isDone = message.header(header.discarded) !== undefined || message.note(header.drains) !== undefined;
    const store = await this.#store();
    const mark = this.mark(work.key!);
    const halt = await store.of(work.key!);
    if (this.#isOver(work)) return;
    if (halt !== undefined) this.#learn(halt.name, halt.key);
    else this.free(work.key!, mark);
    if (halt?.id === id || halt?.via === id) {
      work.halt = "ends";
      if (isDone || halt.via === id) await this.#drain(work, store);
      else this.#host.resume(work);
    } else if (isDone) this.#host.ack(work);
    else if (halt !== undefined && this.#host.halts) await this.#park(work);
    else {
      work.halt = "passes";
      this.#host.resume(work);
    }
  }

  #drain(work: Work, store: HaltedKeys): Promise<void> {
    this.#hold(work);
    return this.#host.drain(work, store);
  }

  async #watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await (await this.#store()).watch(signal, (name, key) => this.#learn(name, key));
      } catch (error) {
        if (!signal.aborted) this.#warn("watching halted keys", error);
      }
      if (!signal.aborted) await new Promise<void>((resolve) => void this.#core.wheel.set(againMs, resolve));
    }
  }

  /** `flow` once more when it fails, until the work is no longer ours. */
  #follow(work: Work, what: string, flow: () => Promise<void>): void {
    const following = flow()
      .then(() => this.#release(work))
      .catch((error: unknown) => {
        if (this.#isOver(work)) return this.#release(work);
        this.#hold(work);
        this.#warn(what, error);
        this.#core.wheel.set(againMs, () => {
          if (this.#isOver(work)) this.#release(work);
          else this.#follow(work, what, flow);
        });
      })
      .finally(() => this.#flows.delete(following));
    this.#flows.add(following);
  }

  #hold(work: Work): void {
    if (this.#held.has(work)) return;
    this.#held.add(work);
    this.#host.load();
  }

  #release(work: Work): void {
    if (this.#held.delete(work)) this.#host.load();
  }

  /** What is closing hands it back. */
  #isOver(work: Work): boolean {
    return work.revoked || work.state === "gone" || this.#host.closing;
  }

  #learn(name: string, key: string): void {
    this.#marks.set(name, (this.#learned += 1));
    this.#names.add(name);
    this.#keys.add(key);
  }

  #open(work: Work): void {
    try {
      work.envelope ??= open(this.#core, work.message);
    } catch {
      // it is parked as it came, and becomes a letter when it is its turn
    }
  }

  async #store(): Promise<HaltedKeys> {
    const { state }: { readonly state: StateStore | undefined } = await this.#broker.ready();
    if (state === undefined) throw new BusError("BUS_UNSUPPORTED", "halted keys need a state store");
    return new HaltedKeys(state, this.#host.group);
  }

  #warn(what: string, error: unknown): void {
    this.#core.board.log("warn", "halted keys: tried again", {
      doing: what,
      group: this.#host.group,
      ...errorFields(error),
    });
  }
}

const placeOf = ({ message }: Work): string => message.partition ?? message.lane;
