const least = 64;
const most = 1_024;
const measureMs = 1_000;

/**
 * How far anything may have been handed to a handler, as the broker is told before it happens. The mark stands ahead of what is
 * handed out, and of the log's end, so that what arrives can be handed out at once: by what came in the last second, since all
 * below the mark that was in the log at a crash is suspect afterwards. Pure.
 */
export class MarkAhead {
  /** At the broker. */
  #mark: number;
  /** Behind the last one that was handed out. */
  #handed: number;
  #countedSince: number;
  #counted = 0;
  #room = least;

  constructor(floor: number, now: number) {
    this.#mark = floor;
    this.#handed = floor;
    this.#countedSince = now;
  }

  /** What the broker knows. */
  get value(): number {
    return this.#mark;
  }

  /** Behind the last one that was handed out. */
  get handed(): number {
    return this.#handed;
  }

  /** Whether the broker knows that this one may be in a handler's hands. */
  covers(offset: number): boolean {
    return offset < this.#mark;
  }

  handOut(offset: number, now: number): void {
    this.#handed = Math.max(this.#handed, offset + 1);
    this.#counted += 1;
    const passed = now - this.#countedSince;
    if (passed < measureMs) return;
    this.#room = Math.min(most, Math.max(least, Math.ceil((this.#counted * measureMs) / passed)));
    this.#counted = 0;
    this.#countedSince = now;
  }

  /** What the next commit has to say, given the lowest offset that waits to be handed out, if one does; undefined: what it says already. */
  wanted(waiting?: number): number | undefined {
    const from = Math.max(this.#handed, waiting === undefined ? 0 : waiting + 1);
    return this.#mark - from >= this.#room / 2 ? undefined : from + this.#room;
  }

  /** The commit that said so was answered. */
  confirmed(mark: number): void {
    this.#mark = Math.max(this.#mark, mark);
  }
}
