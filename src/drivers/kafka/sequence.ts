const last = 0x7fff_ffff;

/**
 * The numbers by which a broker knows a batch again, of one partition: each record has one, and after 2^31 - 1 comes 0. With one
 * batch under way the broker has always seen all numbers before it, or none of it.
 */
export class Sequence {
  #next = 0;

  /** Of the first record of the next batch. It stays the same until the batch is told to be in. */
  get next(): number {
    return this.#next;
  }

  stored(records: number): void {
    this.#next = (this.#next + records) & last;
  }

  /** Under a new producer id nothing was seen. */
  restart(): void {
    this.#next = 0;
  }
}
