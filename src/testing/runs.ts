import assert from "node:assert/strict";
import type { BusEvent } from "../event.ts";
import type { Delivery } from "../handler.ts";
import type { HistoryRecord } from "./invariants/history.ts";
import type { Item } from "./lab.ts";
import { quiet, reached, silence, until } from "./until.ts";

/** One run of a handler. */
export interface Run {
  readonly n: number;
  readonly member: string;
  readonly group: string | undefined;
  readonly attempt: number;
  readonly event: BusEvent<string, Item>;
  readonly startedAt: number;
  endedAt: number | undefined;
  failed: boolean;
}

/** What the handlers of one test did: it makes them, and knows every run of them. */
export class Runs {
  readonly all: Run[] = [];
  /** Handlers that run now, and the most that ever ran at once. */
  active = 0;
  peak = 0;
  /** How many runs returned: counted, since it is asked every few milliseconds. */
  done = 0;
  readonly #history: HistoryRecord[] = [];
  readonly #different = new Set<number>();

  /** A handler that notes its runs; `work` decides how one ends. */
  handler(
    member = "m1",
    work: (run: Run, delivery: Delivery<BusEvent<string, Item>>) => unknown = () => undefined,
  ): (event: BusEvent<string, Item>, delivery: Delivery<BusEvent<string, Item>>) => Promise<void> {
    return async (event, delivery) => {
      const run: Run = {
        n: event.data.n,
        member,
        group: delivery.group,
        attempt: delivery.attempt,
        event,
        startedAt: performance.now(),
        endedAt: undefined,
        failed: false,
      };
      this.all.push(run);
      this.active++;
      this.peak = Math.max(this.peak, this.active);
      this.#note("handling", run);
      try {
        await work(run, delivery);
        this.#note("handled", run);
        this.done++;
        this.#different.add(run.n);
      } catch (error) {
        run.failed = true;
        this.#note("handler-failed", run);
        throw error;
      } finally {
        run.endedAt = performance.now();
        this.active--;
      }
    };
  }

  /** Runs that returned. */
  get handled(): Run[] {
    return this.all.filter((run) => run.endedAt !== undefined && !run.failed);
  }

  /** The numbers that were handled, each once, in the order in which they first were. */
  numbers(): number[] {
    return [...new Set(this.handled.map((run) => run.n))];
  }

  /** How many different items were handled. */
  get different(): number {
    return this.#different.size;
  }

  /** The attempts of one item, in the order of its runs. */
  attempts(n: number): number[] {
    return this.all.filter((run) => run.n === n).map((run) => run.attempt);
  }

  by(member: string): Run[] {
    return this.all.filter((run) => run.member === member);
  }

  /** For the checkers of invariants; the sequence is the item's number. */
  history(): readonly HistoryRecord[] {
    return this.#history;
  }

  /** Resolves when that many different items have been handled. */
  async until(count: number, what = "items handled"): Promise<void> {
    await reached(
      () => this.different,
      count,
      () => `${count} ${what}; ${this.different} were, in ${this.all.length} runs`,
    );
  }

  /** Resolves when that many runs have begun. */
  async untilStarted(count: number): Promise<void> {
    await until(
      () => this.all.length >= count,
      () => `${count} runs begun; ${this.all.length} have`,
    );
  }

  /** No run begins for a while. */
  async silence(ms: number): Promise<void> {
    const late = (): string =>
      this.all
        .slice(before)
        .map(
          ({ n, attempt, member }) =>
            ` ${n}${this.attempts(n).length > 1 ? " again" : ""} (attempt ${attempt}, ${member})`,
        )
        .join(",");
    const before = this.all.length;
    await silence(
      () => this.all.length,
      () => `runs after the last that was expected:${late()}`,
      ms,
    );
  }

  /** Resolves when no run has begun for a while: where how many there will be can't be known. */
  async quiet(ms: number): Promise<void> {
    await quiet(() => this.all.length, "runs", ms);
  }

  /** Each of the numbers was handled once, and no other. */
  assertOnce(numbers: Iterable<number>): void {
    const handled = this.handled.map((run) => run.n).toSorted((a, b) => a - b);
    assert.deepEqual(
      handled,
      [...numbers].toSorted((a, b) => a - b),
    );
  }

  #note(op: HistoryRecord["op"], { event, member, group, attempt, n }: Run): void {
    this.#history.push({
      at: performance.now(),
      process: member,
      op,
      id: event.id,
      group,
      key: event.key,
      sequence: n,
      attempt,
    });
  }
}

/** The numbers from 0, `count` of them. */
export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n);
}
