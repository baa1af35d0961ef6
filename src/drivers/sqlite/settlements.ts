import type { Note, Settlement } from "../../driver.ts";
import type { SqliteMessage } from "./message.ts";

type Result = "done" | "stale" | "unknown";

/** A call of `settle` or `record`; answered when all that it gave is written. */
class Call {
  readonly results: Result[];
  #left: number;
  readonly #resolve: (results: readonly Result[]) => void;

  constructor(count: number, resolve: (results: readonly Result[]) => void) {
    this.results = Array.from<Result>({ length: count }).fill("unknown");
    this.#left = count;
    this.#resolve = resolve;
    if (count === 0) resolve(this.results);
  }

  answer(index: number, result: Result): void {
    this.results[index] = result;
    this.#left -= 1;
    if (this.#left === 0) this.#resolve(this.results);
  }
}

/** One settlement or note that waits for its transaction. */
export interface Entry<Handle> {
  readonly message: SqliteMessage<Handle>;
  readonly what: Settlement | (Note & { readonly how: "note" });
  readonly call: Call;
  readonly index: number;
  result: Result;
}

/** Gathers the settlements and notes of one turn and answers them when it is committed. */
export class Settlements<Handle> {
  #waiting: Entry<Handle>[] = [];
  #lasting = false;

  get any(): boolean {
    return this.#waiting.length > 0;
  }

  /** One of them is more than "about to run", which only has to outlive the process. */
  get lasting(): boolean {
    return this.#lasting;
  }

  /** `accept` is false for a message that is over: that is stale at once. */
  add(
    whats: readonly Entry<Handle>["what"][],
    accept: (message: SqliteMessage<Handle>, what: Entry<Handle>["what"]) => boolean,
  ): Promise<readonly Result[]> {
    return new Promise((resolve) => {
      const call = new Call(whats.length, resolve);
      whats.forEach((what, index) => {
        const message = what.message as SqliteMessage<Handle>;
        if (!accept(message, what)) return call.answer(index, "stale");
        this.#waiting.push({ message, what, call, index, result: "unknown" });
        this.#lasting ||= what.how !== "note" || what.notBefore !== undefined;
      });
    });
  }

  take(): Entry<Handle>[] {
    const taken = this.#waiting;
    this.#waiting = [];
    this.#lasting = false;
    return taken;
  }

  /** After COMMIT. */
  answer(entries: readonly Entry<Handle>[]): void {
    for (const { call, index, result } of entries) call.answer(index, result);
  }
}
