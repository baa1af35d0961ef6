import type { Clock } from "../../clock.ts";

export interface Resume {
  readonly id: string;
  readonly since: number;
  readonly settled: ReadonlySet<string>;
}

const formerMs = 30_000;
/** Who comes later than that takes the group as it is. */
const lateMs = 60_000;

/** Where groups that were lost under members of this process go on. */
export class ResumePoints {
  readonly #clock: Clock;
  readonly #open = new Map<string, Resume & { readonly at: number }>();
  /** The last of each, and when: what one was to bring again may be lost under way, with the group, once more. */
  readonly #former = new Map<string, { readonly resume: Resume; readonly at: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get(group: string): Resume | undefined {
    return this.#open.get(group);
  }

  lost(group: string, { id, since, settled }: Resume): void {
    const at = this.#clock.ticks();
    const former = this.#former.get(group);
    const resume: Resume =
      former === undefined || at - former.at > formerMs
        ? { id, since, settled }
        : {
            id,
            since: Math.min(since, former.resume.since),
            settled: new Set([...former.resume.settled, ...settled]),
          };
    for (const [other, { at: then }] of this.#former) if (at - then > formerMs) this.#former.delete(other);
    this.#former.set(group, { resume, at });
    this.#open.set(group, { ...resume, at });
  }

  /** Of members that were lost just now, with another making of the group than `id`. */
  ofFormer(group: string, id: string): Resume | undefined {
    const resume = this.#open.get(group);
    const isNow = resume !== undefined && this.#clock.ticks() - resume.at <= lateMs;
    return isNow && resume.id !== id ? resume : undefined;
  }

  /** Given once. */
  take(group: string): Resume | undefined {
    const resume = this.#open.get(group);
    this.#open.delete(group);
    return resume;
  }
}
