const digits = Uint8Array.from("0123456789abcdef", (digit) => digit.charCodeAt(0));
const dash = 0x2d;
const latest = 2 ** 48 - 1;
const counterEnd = 2 ** 26;
/** How many ids a millisecond has room for at least; then the next one is begun early. */
const roomAtLeast = 2 ** 16;
const version7 = /^([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;

/**
 * Makes UUIDs of version 7 (RFC 9562), each greater than the one before as a text, even when the clock stands or goes back:
 * 48 bits of time, a 26-bit counter that each millisecond starts by chance, 48 bits of chance.
 */
export class UuidSource {
  readonly #clock: { now(): number; random(): number };
  #ms = -1;
  /** The characters of the millisecond, up to the version. */
  readonly #head = new Uint8Array(15);
  #counter = 0;

  constructor(clock: { now(): number; random(): number }) {
    this.#clock = clock;
  }

  /** `now`: when the caller has read the clock already. */
  next(now: number = this.#clock.now()): string {
    const clock = this.#clock;
    if (now > this.#ms) this.#start(now);
    else if ((this.#counter += 1) === counterEnd) this.#start(this.#ms + 1);
    const high = this.#counter >>> 14;
    const low = this.#counter & 0x3fff;
    const one = clock.random() * 0x100_0000;
    const two = clock.random() * 0x100_0000;
    const head = this.#head;
    // one call for all: a text joined of two would be copied by the first who reads it
    return String.fromCharCode(
      head[0]!,
      head[1]!,
      head[2]!,
      head[3]!,
      head[4]!,
      head[5]!,
      head[6]!,
      head[7]!,
      head[8]!,
      head[9]!,
      head[10]!,
      head[11]!,
      head[12]!,
      head[13]!,
      head[14]!,
      digits[high >> 8]!,
      digits[(high >> 4) & 15]!,
      digits[high & 15]!,
      dash,
      digits[8 | (low >> 12)]!,
      digits[(low >> 8) & 15]!,
      digits[(low >> 4) & 15]!,
      digits[low & 15]!,
      dash,
      digits[(one >> 20) & 15]!,
      digits[(one >> 16) & 15]!,
      digits[(one >> 12) & 15]!,
      digits[(one >> 8) & 15]!,
      digits[(one >> 4) & 15]!,
      digits[one & 15]!,
      digits[(two >> 20) & 15]!,
      digits[(two >> 16) & 15]!,
      digits[(two >> 12) & 15]!,
      digits[(two >> 8) & 15]!,
      digits[(two >> 4) & 15]!,
      digits[two & 15]!,
    );
  }

  #start(now: number): void {
    this.#ms = Math.min(Math.floor(now), latest);
    this.#counter = Math.floor(this.#clock.random() * (counterEnd - roomAtLeast));
    const time = this.#ms.toString(16).padStart(12, "0");
    const head = `${time.slice(0, 8)}-${time.slice(8)}-7`;
    for (let index = 0; index < head.length; index += 1) this.#head[index] = head.charCodeAt(index);
  }
}

/** When a UUID of version 7 was made, in ms since the epoch; undefined of any other text. */
export function timeOf(id: string): number | undefined {
  const time = version7.exec(id);
  return time === null ? undefined : Number.parseInt(`${time[1]}${time[2]}`, 16);
}
