/**
 * Messages that may have killed a process: they run one at a time, each noted durably before, and beside them nothing fresh
 * starts. Pure: no time, no I/O.
 */
export class Suspects<Item> {
  readonly #waiting: Item[] = [];
  #busy: Item | undefined;

  /** Whether fresh messages have to wait. */
  get blocking(): boolean {
    return this.#busy !== undefined || this.#waiting.length > 0;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  add(item: Item): void {
    this.#waiting.push(item);
  }

  /** The one to note and run now, if none is under way. */
  take(): Item | undefined {
    if (this.#busy !== undefined) return undefined;
    this.#busy = this.#waiting.shift();
    return this.#busy;
  }

  /** It ran, or is no longer ours. True when it was the one under way. */
  done(item: Item): boolean {
    if (this.#busy === item) {
      this.#busy = undefined;
      return true;
    }
    const index = this.#waiting.indexOf(item);
    if (index >= 0) this.#waiting.splice(index, 1);
    return false;
  }
}
