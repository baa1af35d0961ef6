const seed = 0x9747b28c;
const factor = 0x5bd1e995;

/**
 * The hash by which Kafka's default partitioner places a key: murmur2 of its UTF-8, made positive (0 ≤ hash < 2^31). The
 * partition is the hash modulo the number of partitions.
 */
export function murmur2(key: string): number {
  const { length } = key;
  let hash = seed ^ length;
  let index = 0;
  let seen = 0;
  for (; index + 4 <= length; index += 4) {
    const a = key.charCodeAt(index);
    const b = key.charCodeAt(index + 1);
    const c = key.charCodeAt(index + 2);
    const d = key.charCodeAt(index + 3);
    seen |= a | b | c | d;
    hash = mix(hash, a | (b << 8) | (c << 16) | (d << 24));
  }
  let rest = 0;
  for (let shift = 0; index < length; index += 1, shift += 8) {
    const code = key.charCodeAt(index);
    seen |= code;
    rest |= code << shift;
  }
  return seen < 0x80 ? finish(hash, rest, length & 3) : ofBytes(Buffer.from(key));
}

function ofBytes(bytes: Uint8Array): number {
  const { length } = bytes;
  const whole = length & ~3;
  let hash = seed ^ length;
  for (let index = 0; index < whole; index += 4) {
    hash = mix(hash, bytes[index]! | (bytes[index + 1]! << 8) | (bytes[index + 2]! << 16) | (bytes[index + 3]! << 24));
  }
  let rest = 0;
  for (let index = whole; index < length; index += 1) rest |= bytes[index]! << ((index - whole) * 8);
  return finish(hash, rest, length - whole);
}

function mix(hash: number, word: number): number {
  const mixed = Math.imul(word, factor);
  return Math.imul(hash, factor) ^ Math.imul(mixed ^ (mixed >>> 24), factor);
}

function finish(hash: number, rest: number, restLength: number): number {
  let result = restLength === 0 ? hash : Math.imul(hash ^ rest, factor);
  result = Math.imul(result ^ (result >>> 13), factor);
  return (result ^ (result >>> 15)) & 0x7fff_ffff;
}
