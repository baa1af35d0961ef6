import { balance } from "../../internal/partition-balance.ts";
import type { GroupRow } from "./group-store.ts";
import type { OwnRow } from "./own-store.ts";
import { Part } from "../../internal/rows/part.ts";
import type { Store } from "./store.ts";
import { partitionName } from "./streams.ts";

export interface ShareChange {
  /** Ours from this transaction on. */
  readonly gained: readonly Part[];
  /** Ours still, another's as soon as nothing of them runs. */
  readonly draining: ReadonlySet<Part>;
  /** No longer ours: a member that came back took them to where it stood. */
  readonly lost: readonly Part[];
  /** Partitions of which retention dropped what a former owner had not settled. */
  readonly missing: number;
  readonly roster: number;
}

/** Which partitions of an ordered group this member is to own; every member reckons the same from the same rows. */
export class Shares {
  readonly #store: Store;
  readonly #group: number;
  #roster = -1;

  constructor(store: Store, group: number) {
    this.#store = store;
    this.#group = group;
  }

  /** Once it is committed. */
  accept(change: ShareChange): void {
    this.#roster = change.roster;
  }

  forget(): void {
    this.#roster = -1;
  }

  /** A look without a lock. */
  moved(): boolean {
    const group = this.#store.groups.byId(this.#group);
    return group === undefined || group.roster !== this.#roster;
  }

  /** Within the transaction. Undefined when nothing moved since. */
  balance(group: GroupRow, member: number, parts: ReadonlyMap<string, Part>): ShareChange | undefined {
    if (group.roster === this.#roster) return undefined;
    const rows = this.#store.own.all(this.#group);
    const current = new Map(
      rows.flatMap((row, index) => (row.member === null ? [] : [[index, String(row.member)] as const])),
    );
    const wanted = balance(
      rows.map((_, index) => index),
      this.#store.members.seats(this.#group).map(String),
      current,
    );
    const gained: Part[] = [];
    const draining = new Set<Part>();
    const lost: Part[] = [];
    let missing = 0;
    for (const [index, row] of rows.entries()) {
      const ours = wanted.get(index) === String(member);
      const held = parts.get(this.#name(row));
      if (row.member === member) {
        if (held !== undefined && !ours) draining.add(held);
        continue;
      }
      if (held !== undefined) lost.push(held);
      if (ours && row.member === null) {
        const part = this.#acquire(row, member);
        if (part === undefined) continue;
        gained.push(part);
        const stream = this.#store.streams.byId(row.stream);
        if (stream !== undefined && part.counts.some(([upTo]) => upTo > part.cursor && part.cursor < stream.first - 1))
          missing += 1;
      }
    }
    return { gained, draining, lost, missing, roster: group.roster };
  }

  #acquire(row: OwnRow, member: number): Part | undefined {
    const stream = this.#store.streams.byId(row.stream);
    if (stream === undefined || !this.#store.own.acquire(this.#group, row, member)) return undefined;
    const notes = this.#store.held.between(this.#group, row.stream, row.cursor, stream.last);
    return new Part(row, partitionName(stream, row.partition), notes);
  }

  #name(row: OwnRow): string {
    const stream = this.#store.streams.byId(row.stream);
    return stream === undefined ? "" : partitionName(stream, row.partition);
  }
}
