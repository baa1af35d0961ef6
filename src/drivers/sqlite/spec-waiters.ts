import type { Members } from "./members.ts";

interface Waiter {
  readonly group: number;
  readonly version: number;
  readonly resolve: () => void;
}

/** Who waits until every member of a group has seen some version of its definition, or is gone. */
export class SpecWaiters {
  readonly #members: Members;
  #waiting: Waiter[] = [];

  constructor(members: Members) {
    this.#members = members;
  }

  known(group: number, version: number): Promise<void> {
    if (this.#members.allKnow(group, version)) return Promise.resolve();
    return new Promise((resolve) => void this.#waiting.push({ group, version, resolve }));
  }

  /** Something was committed. */
  look(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const waiter of waiting) {
      if (this.#members.allKnow(waiter.group, waiter.version)) waiter.resolve();
      else this.#waiting.push(waiter);
    }
  }

  close(): void {
    for (const { resolve } of this.#waiting.splice(0)) resolve();
  }
}
