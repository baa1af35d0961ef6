import { forNobody } from "./context.ts";
import type { Core } from "./core.ts";
import type { Consumption, InMessage, Note, Settlement } from "./driver.ts";

type Result = "done" | "stale" | "unknown";

/** Gathers what one turn of the event loop settles, and hands it to the driver together. */
export class Settler {
  readonly #core: Core;
  #consumption: Consumption | undefined;
  #acks: InMessage[] = [];
  #settlements: { readonly settlement: Settlement; readonly ended: (result: Result) => void }[] = [];
  #notes: { readonly note: Note; readonly ended: (result: Result) => void }[] = [];
  #scheduled = false;
  #underWay: Promise<unknown> = Promise.resolve();

  constructor(core: Core) {
    this.#core = core;
  }

  /** The consumption that the messages given from now on came from; what was gathered for another one is stale. */
  use(consumption: Consumption | undefined): void {
    this.#now();
    this.#consumption = consumption;
  }

  ack(message: InMessage): void {
    this.#acks.push(message);
    this.#schedule();
  }

  /** `ended` is called once; `unknown` when the driver could not say. */
  settle(settlement: Settlement, ended: (result: Result) => void): void {
    this.#settlements.push({ settlement, ended });
    this.#schedule();
  }

  record(note: Note, ended: (result: Result) => void): void {
    this.#notes.push({ note, ended });
    this.#schedule();
  }

  /** Resolves when everything given so far is at the broker, or has failed. */
  async flush(): Promise<void> {
    this.#now();
    await this.#underWay;
    await this.#consumption?.flush();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    forNobody(() => this.#core.clock.soon(() => this.#now()));
  }

  #now(): void {
    this.#scheduled = false;
    const consumption = this.#consumption;
    const acks = this.#acks;
    const settlements = this.#settlements;
    const notes = this.#notes;
    if (acks.length > 0) this.#acks = [];
    if (settlements.length > 0) this.#settlements = [];
    if (notes.length > 0) this.#notes = [];
    if (consumption === undefined) {
      for (const { ended } of [...settlements, ...notes]) ended("stale");
      return;
    }
    if (acks.length > 0) consumption.ack(acks);
    if (settlements.length > 0)
      this.#follow(settlements, () => consumption.settle(settlements.map(({ settlement }) => settlement)));
    if (notes.length > 0) this.#follow(notes, () => consumption.record(notes.map(({ note }) => note)));
  }

  #follow(
    waiting: readonly { readonly ended: (result: Result) => void }[],
    ask: () => Promise<readonly Result[]>,
  ): void {
    const answered = ask().then(
      (results) => waiting.forEach(({ ended }, index) => ended(results[index] ?? "unknown")),
      () => waiting.forEach(({ ended }) => ended("unknown")), // the message stays unsettled: nothing is lost by not knowing why
    );
    this.#underWay = Promise.all([this.#underWay, answered]);
  }
}
