import { TopicFilter } from "./topic-filter.ts";

/** Somebody who listens on the direct lane. */
export interface Seat {
  readonly id: string;
  readonly group: string | undefined;
  readonly patterns: readonly string[];
  readonly answers: readonly string[];
}

interface Listener {
  readonly process: string;
  readonly group: string | undefined;
  readonly patterns: TopicFilter;
  readonly answers: TopicFilter;
  seenAt: number;
}

/**
 * Who listens on the direct lane, and who of them a message is for: by the lane alone and the broker's clock, so that every reader
 * decides alike and nobody needs to ask. Pure.
 */
export class DirectFold {
  readonly #leaseMs: number;
  readonly #listeners = new Map<string, Listener>();

  constructor(leaseMs: number) {
    this.#leaseMs = leaseMs;
  }

  /** All seats of a process, instead of those that it had. */
  here(process: string, seats: readonly Seat[], time: number): void {
    for (const [id, listener] of this.#listeners) if (listener.process === process) this.#listeners.delete(id);
    for (const { id, group, patterns, answers } of seats) {
      const filters = { patterns: new TopicFilter(patterns), answers: new TopicFilter(answers) };
      this.#listeners.set(id, { process, group, ...filters, seenAt: time });
    }
  }

  /** Each of those without a group, and of each group one, in turn. */
  chosen(topic: string, isRequest: boolean, offset: number, time: number): readonly string[] {
    const chosen: string[] = [];
    const groups = new Map<string, string[]>();
    for (const id of [...this.#listeners.keys()].toSorted()) {
      const listener = this.#listeners.get(id)!;
      if (time - listener.seenAt > this.#leaseMs) continue;
      if (!(isRequest ? listener.answers : listener.patterns).matches(topic)) continue;
      if (listener.group === undefined) {
        chosen.push(id);
        continue;
      }
      const members = groups.get(listener.group);
      if (members === undefined) groups.set(listener.group, [id]);
      else members.push(id);
    }
    for (const members of groups.values()) chosen.push(members[offset % members.length]!);
    return chosen;
  }
}
