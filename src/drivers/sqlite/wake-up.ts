import { watch, type FSWatcher } from "node:fs";
import type { Clock } from "../../clock.ts";

/**
 * Says that another process may have committed: when the file system reports a write to the write-ahead log, and every `pollMs`
 * in any case. The report comes before the commit can be seen, so there are two looks.
 */
export class WakeUp {
  readonly #clock: Clock;
  readonly #pollMs: number;
  readonly #look: () => void;
  readonly #poll: () => void;
  readonly #watchers: FSWatcher[] = [];
  #timer: Disposable | undefined;
  #second: Disposable | undefined;
  #looking = false;
  #closed = false;

  constructor(clock: Clock, pollMs: number, events: { readonly look: () => void; readonly poll: () => void }) {
    this.#clock = clock;
    this.#pollMs = pollMs;
    this.#look = events.look;
    this.#poll = events.poll;
    this.#again();
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
  }

  close(): void {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    this.#second?.[Symbol.dispose]();
    this.unwatch();
  }

  readonly #reported = (): void => {
    if (this.#looking || this.#closed) return;
    this.#looking = true;
    this.#look();
    this.#second = this.#clock.after(1, () => {
      this.#looking = false;
      if (!this.#closed) this.#look();
    });
  };

  #again(): void {
    this.#timer = this.#clock.after(this.#pollMs, () => {
      if (this.#closed) return;
      this.#again();
      this.#poll();
    });
  }
}
