import type { StoredMessage } from "../../driver.ts";

export type LetterRecord =
  | { readonly t: "p"; readonly letter: Omit<StoredMessage, "body"> }
  | {
      readonly t: "c";
      readonly ids: readonly string[];
      readonly token: string;
      readonly at: number;
      readonly until: number;
    }
  | { readonly t: "x"; readonly ids: readonly string[]; readonly token: string; readonly at: number }
  | { readonly t: "g"; readonly group: string };

export interface LetterEntry {
  readonly id: string;
  readonly group: string | undefined;
  readonly offset: number;
  readonly token: string | undefined;
  readonly until: number;
}

const remembered = 10_000;

/** Which letters there are, where they stand in the log, and whose they are. Pure: all who fold the same records agree. */
export class LetterFold {
  readonly #letters = new Map<string, LetterEntry>();
  /** A page may end with one that was removed since. */
  readonly #gone = new Map<string, number>();

  take(record: LetterRecord, offset: number): void {
    switch (record.t) {
      case "p": {
        const { id, group } = record.letter;
        this.#letters.delete(id); // the later one replaces it, and is the youngest
        this.#letters.set(id, { id, group, offset, token: undefined, until: 0 });
        return;
      }
      case "c":
        for (const id of record.ids) {
          const entry = this.#letters.get(id);
          if (entry === undefined || !isFree(entry, record.token, record.at)) continue;
          this.#letters.set(id, {
            ...entry,
            token: record.until === 0 ? undefined : record.token,
            until: record.until,
          });
        }
        return;
      case "x":
        for (const id of record.ids) if (this.isClaimed(id, record.token, record.at)) this.#remove(id);
        return;
      case "g":
        for (const [id, { group }] of this.#letters) if (group === record.group) this.#remove(id);
    }
  }

  get(id: string): LetterEntry | undefined {
    return this.#letters.get(id);
  }

  isClaimed(id: string, token: string, at: number): boolean {
    const entry = this.#letters.get(id);
    return entry !== undefined && entry.token === token && entry.until > at;
  }

  /** Oldest first, those behind `after`. */
  list(group: string | undefined, after: string | undefined, limit: number): readonly LetterEntry[] {
    const behind = after === undefined ? -1 : (this.#letters.get(after)?.offset ?? this.#gone.get(after) ?? -1);
    const found: LetterEntry[] = [];
    for (const entry of this.#letters.values()) {
      if (found.length >= limit) break;
      if (entry.offset > behind && (group === undefined || entry.group === group)) found.push(entry);
    }
    return found;
  }

  count(group: string | undefined): number {
    if (group === undefined) return this.#letters.size;
    let count = 0;
    for (const entry of this.#letters.values()) if (entry.group === group) count += 1;
    return count;
  }

  #remove(id: string): void {
    this.#gone.set(id, this.#letters.get(id)?.offset ?? -1);
    this.#letters.delete(id);
    if (this.#gone.size > remembered) this.#gone.delete(this.#gone.keys().next().value!);
  }
}

const isFree = ({ token, until }: LetterEntry, by: string, at: number): boolean =>
  token === undefined || token === by || until <= at;
