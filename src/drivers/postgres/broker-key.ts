import { createHash } from "node:crypto";

/** Of a hexadecimal digit in small letters; of anything else 16. */
const digits = new Uint8Array(128).fill(16);
for (let value = 0; value < 16; value += 1) digits[value.toString(16).charCodeAt(0)] = value;
const dash = 0x2d;

/**
 * 16 bytes that stand for an id in the index against duplicates: a UUID's own, so that those of version 7 go to its end one after
 * the other, of anything else the first of its hash, marked so that it is never a UUID of version 1 to 8.
 */
export function brokerKey(brokerId: string): Uint8Array {
  const key = new Uint8Array(16);
  if (brokerId.length === 36 && readUuid(brokerId, key)) return key;
  key.set(createHash("sha256").update(brokerId, "utf8").digest().subarray(0, 16));
  key[6] = key[6]! | 0xf0;
  return key;
}

/** False: it is none. */
function readUuid(text: string, key: Uint8Array): boolean {
  let at = 0;
  for (let index = 0; index < 36; index += 2) {
    if (index === 8 || index === 13 || index === 18 || index === 23) {
      if (text.charCodeAt(index) !== dash) return false;
      index += 1;
    }
    const high = digits[text.charCodeAt(index)] ?? 16;
    const low = digits[text.charCodeAt(index + 1)] ?? 16;
    if (high > 15 || low > 15) return false;
    key[at++] = (high << 4) | low;
  }
  return true;
}
