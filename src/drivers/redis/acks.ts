import { replyWord } from "./errors.ts";
import type { RedisMessage } from "./message.ts";
import { textsOf } from "./reply.ts";
import type { Seat } from "./seat.ts";
import { ackScript } from "./scripts/ack.ts";
import type { Session } from "./session.ts";

export interface AckListener {
  /** Partition and the lowest that is pending in it, or "". */
  floor(ref: string, lowest: string): void;
  stale(): void;
  gone(error: unknown): void;
}

interface Run {
  readonly ids: string[];
  readonly noted: string[];
}

const mostIds = 1_000;
const floorEveryMs = 50;

/** Acknowledgements: one script under way, the next collects; sent again after a reconnect, which harms nobody. */
export class Acks {
  readonly #session: Session;
  readonly #listener: AckListener;
  #seat: Seat;
  #runs = new Map<string, Run>();
  #count = 0;
  #busy = false;
  #scheduled = false;
  #floorsAt = Number.NEGATIVE_INFINITY;
  /** Refs that were acknowledged since floors were asked for. */
  readonly #unasked = new Set<string>();
  #flushes: (() => void)[] = [];
  #sweep: Disposable | undefined = undefined;

  constructor(session: Session, seat: Seat, listener: AckListener) {
    this.#session = session;
    this.#seat = seat;
    this.#listener = listener;
  }

  /** What was given for another seat is void. */
  use(seat: Seat): void {
    this.#seat = seat;
    this.drop();
  }

  add(message: RedisMessage): void {
    const { ref, id } = message;
    let run = this.#runs.get(ref!);
    if (run === undefined) this.#runs.set(ref!, (run = { ids: [], noted: [] }));
    run.ids.push(id!);
    if (message.noted) run.noted.push(id!);
    this.#count += 1;
    this.send();
  }

  /** At the end of this turn, when none is under way. */
  send(): void {
    if (this.#busy || this.#scheduled || this.#count === 0) return;
    this.#scheduled = true;
    this.#session.clock.soon(() => {
      this.#scheduled = false;
      this.#send();
    });
  }

  /** Resolves when every one given so far is at the server, or void. */
  flush(): Promise<void> {
    if (!this.#busy && this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#flushes.push(resolve);
      if (!this.#busy) this.#send();
    });
  }

  drop(): void {
    this.#runs = new Map();
    this.#count = 0;
    this.#unasked.clear();
    this.#sweep?.[Symbol.dispose]();
    this.#sweep = undefined;
    this.#flushed();
  }

  #send(): void {
    if (this.#busy || this.#count === 0 || !this.#session.isUp) return;
    this.#run(this.#take());
  }

  #take(): ReadonlyMap<string, Run> {
    if (this.#count <= mostIds) {
      const taken = this.#runs;
      this.#runs = new Map();
      this.#count = 0;
      return taken;
    }
    const taken = new Map<string, Run>();
    let left = mostIds;
    for (const [ref, run] of this.#runs) {
      if (left === 0) break;
      const ids = run.ids.splice(0, left);
      const noted = run.noted.filter((id) => ids.includes(id));
      for (const id of noted) run.noted.splice(run.noted.indexOf(id), 1);
      taken.set(ref, { ids, noted });
      if (run.ids.length === 0) this.#runs.delete(ref);
      left -= ids.length;
    }
    this.#count -= mostIds - left;
    return taken;
  }

  #run(runs: ReadonlyMap<string, Run>): void {
    const now = this.#session.clock.ticks();
    for (const ref of runs.keys()) this.#unasked.add(ref);
    const asks = this.#flushes.length > 0 || now - this.#floorsAt >= floorEveryMs;
    const args: string[] = [asks ? "f" : ""];
    for (const [ref, { ids, noted }] of runs)
      args.push(ref, String(ids.length), ...ids, String(noted.length), ...noted);
    if (asks) {
      this.#floorsAt = now;
      for (const ref of this.#unasked) if (!runs.has(ref)) args.push(ref, "0", "0");
      this.#unasked.clear();
    } else this.#askLater();
    const seat = this.#seat;
    this.#busy = true;
    seat.run(ackScript, args).then(
      (answer) => {
        this.#busy = false;
        if (seat === this.#seat) {
          const texts = textsOf(answer);
          for (let at = 0; at < texts.length; at += 2) this.#listener.floor(texts[at]!, texts[at + 1]!);
        }
        this.#next();
      },
      (error: unknown) => {
        this.#busy = false;
        if (seat !== this.#seat) return this.#next();
        const word = replyWord(error);
        if (word === "STALE") this.#listener.stale();
        else if (word === "GONE") this.#listener.gone(error);
        else this.#giveBack(runs);
      },
    );
  }

  /** Lost on its way there or back. */
  #giveBack(runs: ReadonlyMap<string, Run>): void {
    for (const [ref, { ids, noted }] of runs) {
      const later = this.#runs.get(ref);
      this.#runs.set(ref, { ids: [...ids, ...(later?.ids ?? [])], noted: [...noted, ...(later?.noted ?? [])] });
      this.#count += ids.length;
    }
    if (this.#session.isUp) this.#session.clock.after(floorEveryMs, () => this.send());
  }

  #next(): void {
    if (this.#count > 0) this.#send();
    else this.#flushed();
  }

  #flushed(): void {
    for (const resolve of this.#flushes.splice(0)) resolve();
  }

  /** The last acknowledgements of a burst move the floor as well. */
  #askLater(): void {
    this.#sweep ??= this.#session.clock.after(floorEveryMs, () => {
      this.#sweep = undefined;
      if (this.#unasked.size > 0 && !this.#busy && this.#session.isUp) this.#run(this.#take());
      else if (this.#unasked.size > 0) this.#askLater();
    });
  }
}
