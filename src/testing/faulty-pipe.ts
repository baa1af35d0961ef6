import type { Socket } from "node:net";
import type { OneDirection } from "./fault-direction.ts";
import type { Sprung } from "./fault-traps.ts";

const highWaterBytes = 65_536;
const longestTimerMs = 2 ** 31 - 1;
/** With limited bandwidth, so many pieces a second. */
const smoothness = 50;

interface Item {
  what: Buffer | "end" | "reset";
  readonly at: number;
  /** From -1 to 1. */
  readonly luck: number;
}

/** What a pipe can't do itself, because it takes both sockets. */
export interface PipeOwner {
  /** What goes on instead. */
  took(bytes: Buffer): Buffer;
  look(piece: Buffer): Sprung | undefined;
  /** Resets both sides. */
  reset(): void;
  /** Resets the client's side, after which it calls back, and ends the target's. */
  cut(done: () => void): void;
}

/** From one socket to another, through the faults of its direction. */
export class FaultyPipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #direction: OneDirection;
  readonly #random: () => number;
  readonly #owner: PipeOwner;
  readonly #queue: Item[] = [];
  #queuedBytes = 0;
  #freeAt = 0;
  #writing = false;
  /** Something was lost, so that what comes later must not be taken for what comes next. */
  #gap = false;
  #deaf = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(from: Socket, to: Socket, direction: OneDirection, random: () => number, owner: PipeOwner) {
    this.#from = from;
    this.#to = to;
    this.#direction = direction;
    this.#random = random;
    this.#owner = owner;
    from.on("data", (bytes: Buffer) => this.#arrive(owner.took(bytes)));
    from.on("end", () => this.#arrive("end"));
    from.on("error", () => this.#arrive("reset"));
    direction.changed.add(this.#pump);
  }

  /** Reads on and passes nothing more. */
  mute(): void {
    this.#deaf = true;
    this.#direction.changed.delete(this.#pump);
    this.#lose();
  }

  #arrive(what: Item["what"]): void {
    if (typeof what === "object") {
      this.#direction.receivedBytes += what.length;
      this.#queuedBytes += what.length;
    }
    this.#queue.push({ what, at: performance.now(), luck: this.#random() * 2 - 1 });
    if (this.#deaf) return this.#lose();
    if (this.#queuedBytes >= highWaterBytes) this.#from.pause();
    this.#pump();
  }

  #lose(): void {
    clearTimeout(this.#timer);
    this.#direction.lostBytes += this.#queuedBytes;
    this.#queuedBytes = 0;
    this.#queue.length = 0;
    this.#from.resume();
  }

  readonly #pump = (): void => {
    clearTimeout(this.#timer);
    if (this.#deaf) return;
    const head = this.#queue[0];
    if (this.#direction.faults.blackHole === true) {
      this.#gap ||= head !== undefined;
      return this.#lose();
    }
    if (this.#gap) return this.#owner.reset();
    if (this.#to.destroyed) return this.#lose();
    if (this.#writing || head === undefined) return;
    const { what } = head;
    const size = typeof what === "object" ? this.#sizeOf(what) : 0;
    const due = this.#dueOf(head, size);
    const waitMs = due - performance.now();
    if (waitMs === Number.POSITIVE_INFINITY) return;
    if (waitMs > 0) {
      this.#timer = setTimeout(this.#pump, Math.min(waitMs, longestTimerMs)).unref();
      return;
    }
    this.#freeAt = due;
    if (typeof what === "object") {
      head.what = what.subarray(size);
      if (size === what.length) this.#queue.shift();
      this.#pass(what.subarray(0, size));
    } else {
      this.#queue.shift();
      if (what === "end") this.#to.end();
      else this.#to.resetAndDestroy();
      this.#pump();
    }
  };

  #sizeOf(bytes: Buffer): number {
    const { sliceBytes = bytes.length, bytesPerSecond } = this.#direction.faults;
    const smooth = bytesPerSecond ? Math.ceil(bytesPerSecond / smoothness) : bytes.length;
    return Math.min(bytes.length, sliceBytes, smooth);
  }

  #dueOf({ what, at, luck }: Item, size: number): number {
    const { latencyMs = 0, jitterMs = 0, closeDelayMs = 0, bytesPerSecond } = this.#direction.faults;
    if (bytesPerSecond === 0) return Number.POSITIVE_INFINITY;
    const laterMs = Math.max(0, latencyMs + luck * jitterMs) + (typeof what === "object" ? 0 : closeDelayMs);
    return Math.max(this.#freeAt, at + laterMs) + (size * 1_000) / (bytesPerSecond ?? Number.POSITIVE_INFINITY);
  }

  #pass(piece: Buffer): void {
    this.#queuedBytes -= piece.length;
    const sprung = this.#owner.look(piece);
    const passing = piece.subarray(0, sprung?.passes);
    this.#direction.lostBytes += piece.length - passing.length;
    this.#writing = true;
    const next = (): void => {
      this.#writing = false;
      if (this.#queuedBytes < highWaterBytes) this.#from.resume();
      this.#pump();
    };
    const written = (): void => {
      if (sprung !== undefined) this.#owner.cut(sprung.done);
      else if (this.#direction.faults.sliceBytes === undefined) next();
      else setImmediate(next); // unrefed it would not wake the loop
    };
    if (passing.length === 0) return written();
    this.#direction.passedBytes += passing.length;
    this.#direction.writes += 1;
    this.#to.write(passing, written);
  }
}
