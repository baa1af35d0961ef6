import type { Api } from "./api.ts";
import type { Bucket } from "./bucket.ts";
import type { Delayed } from "./delayed.ts";
import { expiresOf } from "./expiry.ts";
import type { Members } from "./members.ts";
import { keys } from "./names.ts";
import type { Retention } from "./retention.ts";
import type { Session } from "./session.ts";

interface Parts {
  readonly session: Session;
  readonly api: Api;
  readonly bucket: Bucket;
  readonly members: Members;
  readonly retention: Retention;
  readonly delayed: Delayed;
}

const marksMs = 60_000;
const sweepMs = 3_600_000;

/**
 * What one process does for all: the living member with the lowest id. For a moment after one died there may be none, or two,
 * and nothing here minds.
 */
export class Housekeeping {
  readonly #parts: Parts;
  #timer: Disposable | undefined;
  #marked = Number.NEGATIVE_INFINITY;
  #swept = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  start(): void {
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
    if (now - this.#swept >= sweepMs && !session.version.atLeast(2, 11)) {
      this.#swept = now;
      void this.#sweep().catch(() => undefined); // in an hour again
    }
  }

  /** Below 2.11 the server keeps what ran out. */
  async #sweep(): Promise<void> {
    const { session, api, bucket } = this.#parts;
    for (const filter of ["b.>", keys.claims]) {
      for (const { key, revision, headers } of await bucket.list(filter, true)) {
        if (this.#closed) return;
        if (expiresOf(headers) > session.clock.now() - marksMs) continue;
        await api.purge(session.names.bucketStream, { filter: session.names.key(key), seq: revision + 1 });
      }
    }
  }
}
