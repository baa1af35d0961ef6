import type { StoredMessage } from "../../driver.ts";
import type { Claim } from "../../internal/rows/claim.ts";
import { encodeHeaders } from "../../internal/rows/headers.ts";
import type { HeldChange } from "./held-store.ts";
import type { RowMessage } from "../../internal/rows/message.ts";
import type { Entry } from "../../internal/rows/settlements.ts";
import type { Store } from "./store.ts";

/** How a message of an unordered group is found again. */
export interface ClaimHandle {
  /** Undefined once it has a row of its own in `held`. */
  claim: Claim | undefined;
  readonly stream: number;
  /** Handled, and nothing else became of it. */
  acked?: boolean;
  /** Members that released it before. */
  readonly avoid?: string | null;
}
type Message = RowMessage<ClaimHandle>;

/** What a member settled and noted in one turn. */
export interface ClaimBatch {
  readonly claims: Set<Claim>;
  /** Acknowledged, with a row of their own. */
  readonly held: Message[];
  readonly entries: Entry<ClaimHandle, StoredMessage>[];
}

/** Writes what became of messages that an unordered group's member has; within the transaction. */
export class ClaimWriter {
  readonly #store: Store;
  readonly #group: number;

  constructor(store: Store, group: number) {
    this.#store = store;
    this.#group = group;
  }

  /** Leaves in each entry what it came to. Ownership first: of what is another's now nothing is written. */
  write({ claims, held, entries }: ClaimBatch, member: number): void {
    const stale = new Set<Claim>();
    // A note gives its message a row of its own, so the claim is done with it.
    for (const { message, what } of entries) {
      const { claim } = message.handle;
      if (what.how === "note" && claim?.isOpen(message.seq) === true) claim.done(message.seq);
    }
    for (const claim of claims) if (!this.#store.claims.save(claim, member)) stale.add(claim);
    for (const { handle, seq } of held) this.#store.held.remove(this.#group, handle.stream, seq, member);
    for (const entry of entries) {
      const { claim } = entry.message.handle;
      const done =
        claim === undefined ? this.#moveHeld(entry, member) : !stale.has(claim) && this.#moveClaimed(entry, member);
      entry.result = done ? "done" : "stale";
    }
  }

  #moveClaimed({ message, what }: Entry<ClaimHandle, StoredMessage>, member: number): boolean {
    if (what.how === "note" && message.over) return false; // settled since
    if (what.how === "dead") this.#store.letters.put(what.letter);
    else
      this.#store.held.put(this.#group, message.handle.stream, message.seq, {
        attempts: 0,
        ...this.#row(message, what, member),
      });
    return true;
  }

  #moveHeld({ message, what }: Entry<ClaimHandle, StoredMessage>, member: number): boolean {
    const { stream } = message.handle;
    if (what.how !== "dead")
      return this.#store.held.change(this.#group, stream, message.seq, member, this.#row(message, what, member));
    if (!this.#store.held.remove(this.#group, stream, message.seq, member)) return false;
    this.#store.letters.put(what.letter);
    return true;
  }

  #row(
    message: Message,
    what: Exclude<Entry<ClaimHandle, StoredMessage>["what"], { readonly how: "dead" }>,
    member: number,
  ): HeldChange {
    const headers = encodeHeaders(what.headers);
    const { deliveries } = message;
    if (what.how === "note")
      return {
        member,
        due: 0,
        attempts: what.attempts,
        notBefore: what.notBefore ?? null,
        deliveries,
        headers,
        avoid: null,
      };
    const now = this.#store.clock.now();
    const due = now + what.delayMs;
    if (what.how === "retry")
      return { member: null, due, attempts: what.attempts, notBefore: null, deliveries: 0, headers, avoid: null };
    const { avoid, rest } = this.#store.members.avoiding(this.#group, message.handle.avoid ?? "", this.#store.self);
    const when = rest ? { due, notBefore: null } : { due: now, notBefore: due };
    return { member: null, ...when, deliveries: deliveries - 1, headers, avoid };
  }
}
