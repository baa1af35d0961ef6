const places = 1_024;
const longest = 64;
const uuidLength = 36;

/** Texts of ASCII that were read lately, by their bytes: one that comes again is the same string, and costs no new one. */
export class TextCache {
  readonly #texts: string[] = Array.from({ length: places }, () => "");

  /** Of the bytes from `start` to before `end`. */
  get(bytes: Uint8Array, start: number, end: number): string {
    const length = end - start;
    if (length > longest) return this.make(bytes, start, end);
    let hash = 0;
    for (let index = start; index < end; index += 1) hash = (Math.imul(hash, 31) + bytes[index]!) | 0;
    const place = (hash ^ (hash >>> 15)) & (places - 1);
    const known = this.#texts[place]!;
    if (known.length === length) {
      let same = 0;
      while (same < length && known.charCodeAt(same) === bytes[start + same]) same += 1;
      if (same === length) return known;
    }
    return (this.#texts[place] = this.make(bytes, start, end));
  }

  /** A string of its own: no part of a larger one, which it would keep. */
  make(bytes: Uint8Array, start: number, end: number): string {
    if (end - start !== uuidLength)
      return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1");
    return String.fromCharCode(
      bytes[start]!,
      bytes[start + 1]!,
      bytes[start + 2]!,
      bytes[start + 3]!,
      bytes[start + 4]!,
      bytes[start + 5]!,
      bytes[start + 6]!,
      bytes[start + 7]!,
      bytes[start + 8]!,
      bytes[start + 9]!,
      bytes[start + 10]!,
      bytes[start + 11]!,
      bytes[start + 12]!,
      bytes[start + 13]!,
      bytes[start + 14]!,
      bytes[start + 15]!,
      bytes[start + 16]!,
      bytes[start + 17]!,
      bytes[start + 18]!,
      bytes[start + 19]!,
      bytes[start + 20]!,
      bytes[start + 21]!,
      bytes[start + 22]!,
      bytes[start + 23]!,
      bytes[start + 24]!,
      bytes[start + 25]!,
      bytes[start + 26]!,
      bytes[start + 27]!,
      bytes[start + 28]!,
      bytes[start + 29]!,
      bytes[start + 30]!,
      bytes[start + 31]!,
      bytes[start + 32]!,
      bytes[start + 33]!,
      bytes[start + 34]!,
      bytes[start + 35]!,
    );
  }
}
