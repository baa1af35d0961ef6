import type { Headers } from "./headers.ts";
import type { RowMessage } from "./message.ts";

/** Of the driver contract: a `Settlement`, or a `Note`. */
export type What<Letter> =
  | {
      readonly how: "retry";
      readonly message: object;
      readonly delayMs: number;
      readonly attempts: number;
      readonly headers: Headers;
    }
  | { readonly how: "release"; readonly message: object; readonly delayMs: number; readonly headers: Headers }
  | { readonly how: "dead"; readonly message: object; readonly letter: Letter }
  | {
      readonly how: "note";
      readonly message: object;
      readonly attempts: number;
      readonly notBefore: number | undefined;
      readonly headers: Headers;
    };

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
export interface Entry<Handle, Letter> {
  readonly message: RowMessage<Handle>;
  readonly what: What<Letter>;
  readonly call: Call;
  readonly index: number;
  result: Result;
}

/** Gathers the settlements and notes of one turn and answers them when it is committed. */
export class Settlements<Handle, Letter> {
  #waiting: Entry<Handle, Letter>[] = [];
  #lasting = false;

  get any(): boolean {
    return this.#waiting.length > 0;
  }

  /** Of those that wait. */
  get messages(): readonly RowMessage<Handle>[] {
    return this.#waiting.map(({ message }) => message);
  }

  /** One of them is more than "about to run", which only has to outlive the process. */
  get lasting(): boolean {
    return this.#lasting;
  }

  /** `accept` is false for a message that is over: that is stale at once. */
  add(
    whats: readonly What<Letter>[],
    accept: (message: RowMessage<Handle>, what: What<Letter>) => boolean,
  ): Promise<readonly Result[]> {
    return new Promise((resolve) => {
      const call = new Call(whats.length, resolve);
      whats.forEach((what, index) => {
        const message = what.message as RowMessage<Handle>;
        if (!accept(message, what)) return call.answer(index, "stale");
        this.#waiting.push({ message, what, call, index, result: "unknown" });
        this.#lasting ||= what.how !== "note" || what.notBefore !== undefined;
      });
    });
  }

  take(): Entry<Handle, Letter>[] {
    const taken = this.#waiting;
    this.#waiting = [];
    this.#lasting = false;
    return taken;
  }

  /** After COMMIT. */
  answer(entries: readonly Entry<Handle, Letter>[]): void {
    for (const { call, index, result } of entries) call.answer(index, result);
  }
}
