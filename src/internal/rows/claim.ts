interface Run {
  readonly first: number;
  readonly done: Uint8Array;
}

/** A run of a stream in one member's hands. */
export class Claim {
  /** Undefined until its row is there. */
  id = 0;
  readonly stream: number;
  readonly first: number;
  readonly last: number;
  readonly deliveries: number;
  readonly bits: Uint8Array;
  left = 0;
  #low = 0;

  /** All of it counts as done, until `open`. */
  constructor(stream: number, first: number, last: number, deliveries: number) {
    this.stream = stream;
    this.first = first;
    this.last = last;
    this.deliveries = deliveries;
    this.bits = new Uint8Array((last - first + 8) >> 3).fill(0xff);
  }

  open(seq: number): void {
    const bit = seq - this.first;
    this.bits[bit >> 3]! &= ~(1 << (bit & 7));
    this.left += 1;
  }

  isOpen(seq: number): boolean {
    const bit = seq - this.first;
    return (this.bits[bit >> 3]! & (1 << (bit & 7))) === 0;
  }

  done(seq: number): void {
    const bit = seq - this.first;
    this.bits[bit >> 3]! |= 1 << (bit & 7);
    this.left -= 1;
  }

  /** The first that is not done. */
  get low(): number {
    while (this.first + this.#low <= this.last && !this.isOpen(this.first + this.#low)) this.#low += 1;
    return this.first + this.#low;
  }
}

export function isOpenIn(row: Run, seq: number): boolean {
  const bit = seq - row.first;
  return ((row.done[bit >> 3] ?? 0xff) & (1 << (bit & 7))) === 0;
}
