/** What is written to the log of letters, beside a letter's own parts. */
export type LetterRecord =
  | {
      readonly is: "letter";
      readonly id: string;
      readonly group: string | undefined;
      readonly key: string | undefined;
      readonly to: object;
      readonly storedAt: number;
      readonly notBefore: number | undefined;
    }
  | { readonly is: "claim"; readonly ids: readonly string[]; readonly token: string; readonly leaseMs: number }
  | { readonly is: "remove"; readonly ids: readonly string[]; readonly token: string }
  | { readonly is: "purge"; readonly group: string };

export interface LetterEntry {
  readonly id: string;
  readonly group: string | undefined;
  /** Where its latest content is. */
  offset: number;
  /** Its age among the others. */
  readonly order: number;
  claim: { readonly token: string; readonly until: number } | undefined;
}

/** Places of letters that went are remembered for cursors, as many as this. */
const mostGone = 10_000;

/** What the log of letters comes to, the same for everybody, by the broker's clock alone. Pure. */
export class LetterFold {
  /** Oldest first. */
  readonly letters: Map<string, LetterEntry> = new Map();
  readonly #gone = new Map<string, number>();

  /** The ids that a claim or a removal got. */
  apply(record: LetterRecord, offset: number, time: number): readonly string[] {
    switch (record.is) {
      case "letter": {
        const known = this.letters.get(record.id);
        if (known === undefined)
          this.letters.set(record.id, { id: record.id, group: record.group, offset, order: offset, claim: undefined });
        else {
          known.offset = offset;
          known.claim = undefined;
        }
        return [record.id];
      }
      case "claim":
        return record.ids.filter((id) => {
          const letter = this.letters.get(id);
          if (letter === undefined) return false;
          const { claim } = letter;
          if (claim !== undefined && claim.token !== record.token && claim.until > time) return false;
          letter.claim = record.leaseMs > 0 ? { token: record.token, until: time + record.leaseMs } : undefined;
          return true;
        });
      case "remove":
        return record.ids.filter((id) => this.letters.get(id)?.claim?.token === record.token && this.#remove(id));
      case "purge":
        return [...this.letters.values()]
          .filter(({ group }) => group === record.group)
          .flatMap(({ id }) => (this.#remove(id) ? [id] : []));
    }
  }

  list(group: string | undefined, after: string | undefined, limit: number): readonly LetterEntry[] {
    const from = after === undefined ? -1 : (this.letters.get(after)?.order ?? this.#gone.get(after) ?? -1);
    const found: LetterEntry[] = [];
    for (const letter of this.letters.values()) {
      if (found.length >= limit) break;
      if (letter.order > from && (group === undefined || letter.group === group)) found.push(letter);
    }
    return found;
  }

  count(group: string | undefined): number {
    if (group === undefined) return this.letters.size;
    let count = 0;
    for (const letter of this.letters.values()) if (letter.group === group) count += 1;
    return count;
  }

  /** The oldest record that is still needed; undefined: none is. */
  get oldest(): number | undefined {
    let oldest: number | undefined;
    for (const { offset } of this.letters.values()) oldest = Math.min(oldest ?? offset, offset);
    return oldest;
  }

  #remove(id: string): boolean {
    const letter = this.letters.get(id);
    if (letter === undefined) return false;
    this.letters.delete(id);
    this.#gone.set(id, letter.order);
    if (this.#gone.size > mostGone) this.#gone.delete(this.#gone.keys().next().value!);
    return true;
  }
}
