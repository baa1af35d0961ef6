import type { Clock } from "../../clock.ts";

export interface Resume {
  /** Of the making of the group under whose members it was lost. */
  readonly id: string;
  /** Of the group: one that was deleted or reset by an operator, and is there again, is another one. */
  readonly createdAt: number;
  readonly since: number;
  readonly settled: ReadonlySet<string>;
  /** Queues of that making are gone, also if some of their names are there again. */
  readonly isGone: boolean;
}

const formerMs = 30_000;
/** Who comes later than that takes the group as it is. */
const lateMs = 60_000;

/** Where groups that were lost under members of this process go on. */
export class ResumePoints {
  readonly #clock: Clock;
  readonly #open = new Map<string, { readonly resume: Resume; readonly at: number }>();
  /** The last of each, and when: what one was to bring again may be lost under way, with the group, once more. */
  readonly #former = new Map<string, { readonly resume: Resume; readonly at: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `createdAt`: of that group only. */
  get(group: string, createdAt?: number): Resume | undefined {
    const found = this.#open.get(group);
    if (found === undefined || this.#clock.ticks() - found.at > lateMs) return undefined;
    return createdAt === undefined || found.resume.createdAt === createdAt ? found.resume : undefined;
  }

  lost(group: string, lost: Resume): void {
    const { createdAt, since, settled } = lost;
    const at = this.#clock.ticks();
    for (const [other, { at: then }] of this.#former) if (at - then > formerMs) this.#former.delete(other);
    for (const [other, { at: then }] of this.#open) if (at - then > lateMs) this.#open.delete(other);
    const former = this.#former.get(group)?.resume;
    const resume: Resume =
      former?.createdAt !== createdAt
        ? lost
        : {
            ...lost,
            since: Math.min(since, former.since),
            settled: new Set([...former.settled, ...settled]),
          };
    this.#former.set(group, { resume, at });
    this.#open.set(group, { resume, at });
  }

  /** A member runs again. */
  resumed(group: string): void {
    this.#open.delete(group);
  }
}
