import { watch, type FSWatcher } from "node:fs";
import type { Clock } from "../../clock.ts";

/** Looks after a report, in milliseconds from one to the next: the other's fsync lies between its write and its commit. */
const looks: readonly number[] = [1, 2, 4, 8, 16, 32];
/** Of those, the only one after a report that was probably of our own commit. */
const ownLook = 4;
/** A report within this after a commit of ours is probably of that. */
const ownWithinMs = 5;
/** Between two polls while reports come. */
const trustedPollMs = 200;
/** A commit of our own must be reported within this, or reports are not to be relied on. */
const provenWithinMs = 200;

export interface WakeUpEvents {
  /** Somebody may have committed. */
  look(): void;
  /** As `look`, and what else is to be done now and then. */
  poll(): void;
}

/**
 * Says that another process may have committed: as soon as the file system reports a write to the write-ahead log, which is
 * before the commit can be seen, so there are several looks; and by polling, every `pollMs` unless the reports of our own
 * commits prove that none is missed. An idle process then wakes up five times a second.
 */
export class WakeUp {
  readonly #clock: Clock;
  readonly #pollMs: number;
  readonly #events: WakeUpEvents;
  readonly #watchers: FSWatcher[] = [];
  #pollTimer: Disposable | undefined;
  #lookTimer: Disposable | undefined;
  /** Looks made since the last report. */
  #step: number = looks.length;
  #trusted = false;
  /** When a commit of ours was made that has not been reported yet. */
  #unproven: number | undefined;
  /** When we last committed. */
  #committed = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(clock: Clock, pollMs: number, events: WakeUpEvents) {
    this.#clock = clock;
    this.#pollMs = pollMs;
    this.#events = events;
    this.#pollLater();
  }

  /** What can't be watched is polled. */
  watch(path: string): void {
    try {
      const watcher = watch(path, { persistent: false }, this.#reported);
      watcher.on("error", () => watcher.close());
      this.#watchers.push(watcher);
    } catch {
      // No watches left, or none on this file system.
    }
  }

  unwatch(): void {
    for (const watcher of this.#watchers.splice(0)) watcher.close();
    this.#trusted = false;
  }

  /** We have committed; perhaps nothing. */
  committed(): void {
    this.#committed = this.#clock.ticks();
  }

  /** We have certainly written to the log: that is to be reported. */
  wrote(): void {
    this.#unproven ??= this.#clock.ticks();
  }

  close(): void {
    this.#closed = true;
    this.#pollTimer?.[Symbol.dispose]();
    this.#lookTimer?.[Symbol.dispose]();
    this.unwatch();
  }

  readonly #reported = (): void => {
    if (this.#closed) return;
    if (this.#unproven !== undefined) this.#trusted = true;
    this.#unproven = undefined;
    const own = this.#clock.ticks() - this.#committed < ownWithinMs;
    const step = own ? ownLook : 0;
    if (this.#step <= step + 1 && this.#lookTimer !== undefined) return; // the next look is near enough
    this.#lookTimer?.[Symbol.dispose]();
    this.#step = step;
    this.#lookLater();
    if (own) this.#step = looks.length;
    this.#events.look();
  };

  #lookLater(): void {
    const ms = looks[this.#step];
    this.#lookTimer = undefined;
    if (ms === undefined) return;
    this.#step += 1;
    this.#lookTimer = this.#clock.after(ms, () => {
      if (this.#closed) return;
      this.#lookLater();
      this.#events.look();
    });
  }

  #pollLater(): void {
    this.#pollTimer = this.#clock.after(this.#trusted ? Math.max(trustedPollMs, this.#pollMs) : this.#pollMs, () => {
      if (this.#closed) return;
      if (this.#unproven !== undefined && this.#clock.ticks() - this.#unproven > provenWithinMs) {
        this.#trusted = false;
        this.#unproven = undefined;
      }
      this.#pollLater();
      this.#events.poll();
    });
  }
}
