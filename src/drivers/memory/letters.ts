import type { StoredMessage } from "../../driver.ts";

interface Letter {
  message: StoredMessage;
  readonly order: number;
  claim: { readonly token: string; readonly until: number } | undefined;
}

/** Places of letters that went are remembered for cursors, as many as this. */
const goneLimit = 10_000;

/** Dead letters of all groups, oldest first; one per id. */
export class Letters {
  readonly #letters = new Map<string, Letter>();
  readonly #perGroup = new Map<string, number>();
  readonly #gone = new Map<string, number>();
  #order = 0;

  /** A second one of an id takes the first one's place. How many old ones of the group had to go. */
  keep(letter: StoredMessage, limit: number): number {
    const message = { ...letter, body: new Uint8Array(letter.body) }; // it may stay for long: with bytes of its own
    const known = this.#letters.get(message.id);
    if (known !== undefined) {
      known.message = message;
      known.claim = undefined;
      return 0;
    }
    const group = message.group ?? "";
    this.#letters.set(message.id, { message, order: this.#order++, claim: undefined });
    this.#perGroup.set(group, this.count(group) + 1);
    let dropped = 0;
    for (const [id, other] of this.count(group) > limit ? this.#letters : []) {
      if ((other.message.group ?? "") !== group) continue;
      this.#remove(id);
      dropped += 1;
      if (this.count(group) <= limit) break;
    }
    return dropped;
  }

  list(group: string | undefined, after: string | undefined, limit: number): readonly StoredMessage[] {
    const from = after === undefined ? -1 : (this.#letters.get(after)?.order ?? this.#gone.get(after) ?? -1);
    const found: StoredMessage[] = [];
    for (const letter of this.#letters.values()) {
      if (found.length >= limit) break;
      if (letter.order > from && (group === undefined || letter.message.group === group)) found.push(letter.message);
    }
    return found;
  }

  get(id: string): StoredMessage | undefined {
    return this.#letters.get(id)?.message;
  }

  count(group: string | undefined): number {
    return group === undefined ? this.#letters.size : (this.#perGroup.get(group) ?? 0);
  }

  /** Of two operators one wins; the same token may claim again. */
  claim(ids: readonly string[], token: string, leaseMs: number, ticks: number): readonly string[] {
    return ids.filter((id) => {
      const letter = this.#letters.get(id);
      if (letter === undefined) return false;
      if (letter.claim !== undefined && letter.claim.token !== token && letter.claim.until > ticks) return false;
      letter.claim = { token, until: ticks + leaseMs };
      return true;
    });
  }

  /** Those that nobody else claimed since, even when the lease has run out. */
  remove(ids: readonly string[], token: string): readonly string[] {
    return ids.filter((id) => this.#letters.get(id)?.claim?.token === token && this.#remove(id));
  }

  /** How many went. */
  deleteGroup(group: string): number {
    const count = this.count(group);
    for (const [id, letter] of count > 0 ? this.#letters : []) if (letter.message.group === group) this.#remove(id);
    return count;
  }

  #remove(id: string): boolean {
    const letter = this.#letters.get(id);
    if (letter === undefined) return false;
    this.#letters.delete(id);
    const group = letter.message.group ?? "";
    const left = this.count(group) - 1;
    if (left > 0) this.#perGroup.set(group, left);
    else this.#perGroup.delete(group);
    this.#gone.set(id, letter.order);
    if (this.#gone.size > goneLimit) this.#gone.delete(this.#gone.keys().next().value!);
    return true;
  }
}
