import type { StoredMessage } from "../../driver.ts";
import { encodeHeaders } from "../../internal/rows/headers.ts";
import type { RowMessage } from "../../internal/rows/message.ts";
import type { Part, PartEntry } from "../../internal/rows/part.ts";
import type { Entry } from "../../internal/rows/settlements.ts";
import type { Store } from "./store.ts";

/** What a member settled and noted in one turn. */
export interface PartBatch {
  readonly parts: Set<Part>;
  /** Settled, and a note lies beside them. */
  readonly noted: RowMessage<PartEntry>[];
  readonly entries: Entry<PartEntry, StoredMessage>[];
}

/** Writes what became of messages that an ordered group's member has, fenced by its epochs; within the transaction. */
export class PartWriter {
  readonly #store: Store;
  readonly #group: number;

  constructor(store: Store, group: number) {
    this.#store = store;
    this.#group = group;
  }

  /** Leaves in each entry what it came to. `lost`: partitions that are another's, or handed over with this. */
  write(
    { parts, noted, entries }: PartBatch,
    member: number,
    held: ReadonlyMap<string, Part>,
    mayRelease: boolean,
  ): { readonly lost: readonly Part[] } {
    const stale = new Set<Part>();
    for (const part of parts) if (!this.#save(part, member, held)) stale.add(part);
    for (const { handle, seq } of noted)
      if (!stale.has(handle.part)) this.#store.held.drop(this.#group, handle.part.stream, seq);
    for (const entry of entries)
      entry.result = stale.has(entry.message.handle.part) || !this.#move(entry, member) ? "stale" : "done";
    return { lost: [...stale, ...(mayRelease ? this.#release(member, held, stale) : [])] };
  }

  #move({ message, what }: Entry<PartEntry, StoredMessage>, member: number): boolean {
    if (what.how === "dead") this.#store.letters.put(what.letter);
    else if (message.over) return false; // settled since
    else if (what.how === "note")
      this.#store.held.put(this.#group, message.handle.part.stream, message.seq, {
        member,
        due: 0,
        attempts: what.attempts,
        notBefore: what.notBefore ?? null,
        deliveries: message.deliveries,
        headers: encodeHeaders(what.headers),
        avoid: null,
      });
    return true;
  }

  /** Partitions that another is to have, once nothing of them can be running. */
  #release(member: number, held: ReadonlyMap<string, Part>, stale: ReadonlySet<Part>): readonly Part[] {
    const now = this.#store.clock.now();
    const over = [...held.values()].filter((part) => part.draining && !stale.has(part) && part.drained(now));
    for (const part of over) if (this.#save(part, member, held)) this.#store.own.release(this.#group, member, part);
    if (over.length > 0) this.#store.groups.touch(this.#group, now);
    return over;
  }

  #save(part: Part, member: number, held: ReadonlyMap<string, Part>): boolean {
    if (held.get(part.name) !== part) return false;
    const counts = part.counts.filter(([upTo]) => upTo > part.cursor);
    return this.#store.own.save(
      this.#group,
      member,
      part,
      part.cursor,
      part.done,
      counts.length === 0 ? null : JSON.stringify(counts),
    );
  }
}
