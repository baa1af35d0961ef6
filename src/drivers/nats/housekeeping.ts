import { type Bucket, markerMs } from "./bucket.ts";
import type { Delayed } from "./delayed.ts";
import { expiresOf } from "./expiry.ts";
import type { Members } from "./members.ts";
import { keys } from "./names.ts";
import type { Retention } from "./retention.ts";
import type { Session } from "./session.ts";

interface Parts {
  readonly session: Session;
  readonly bucket: Bucket;
  readonly members: Members;
  readonly retention: Retention;
  readonly delayed: Delayed;
}

const marksMs = 60_000;
const sweepMs = 3_600_000;
/** Where the server itself removes what ran out. */
const rareSweepMs = 86_400_000;
/** All of the bucket is looked at: not by one who is here for a moment. */
const firstSweepMs = 60_000;

/**
 * What one process does for all: the living member with the lowest id. For a moment after one died there may be none, or two,
 * and nothing here minds.
 */
export class Housekeeping {
  readonly #parts: Parts;
  #timer: Disposable | undefined;
  #marked = Number.NEGATIVE_INFINITY;
  #sweepAt = 0;
  #closed = false;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  start(): void {
    this.#sweepAt = this.#parts.session.clock.ticks() + firstSweepMs;
    this.#look();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    this.#parts.delayed.close();
  }

  #look(): void {
    if (this.#closed) return;
    const { session, members, delayed, retention } = this.#parts;
    this.#timer = session.clock.after(Math.min(session.options.leaseMs / 3, 1_000), () => this.#look());
    if (!session.connected) return;
    const ids = members.entries().map(({ entry }) => entry.id);
    const leads = ids.every((id) => session.member.id <= id);
    delayed.lead(leads);
    if (!leads) return;
    const now = session.clock.ticks();
    if (now - this.#marked >= marksMs) {
      this.#marked = now;
      void retention.mark().catch(() => undefined); // in a minute again
    }
    if (now >= this.#sweepAt) {
      this.#sweepAt = now + (session.version.atLeast(2, 11) ? rareSweepMs : sweepMs);
      void this.#sweep().catch(() => undefined); // the next time again
    }
  }

  /**
   * Below 2.11 the server keeps what ran out, what marks that a key was deleted, and the entries of members that were killed; and
   * on every version those that were written without a time to live.
   */
  async #sweep(): Promise<void> {
    const { session, bucket, members } = this.#parts;
    const now = session.clock.now();
    // after a pause of this process it may itself look dead, until its entry is renewed
    const living = new Set([keys.member(members.id), ...members.entries().map(({ entry }) => keys.member(entry.id))]);
    for (const entry of await bucket.all([">"], true)) {
      if (this.#closed) return;
      const { key, value, timeMs, headers } = entry;
      const old = timeMs < now - markerMs;
      const over = value === undefined ? old : expiresOf(headers) < now - marksMs;
      const left = key.startsWith("m.") && old && !living.has(key);
      if (over || left) await bucket.forget(entry);
    }
  }
}
