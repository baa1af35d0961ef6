/** One-dimensional arrays in PostgreSQL's own form: nothing is escaped, and bytes are not written as hex. */
const headBytes = 20;

/** Dimensions, whether there may be nulls, the element's type; length, and the number of the first. */
function head(elementType: number, count: number, size: number): Buffer {
  const array = Buffer.allocUnsafe(size);
  array.writeInt32BE(1, 0);
  array.writeInt32BE(1, 4);
  array.writeInt32BE(elementType, 8);
  array.writeInt32BE(count, 12);
  array.writeInt32BE(1, 16);
  return array;
}

export function bytesArray(values: readonly (Uint8Array | null)[]): Buffer {
  let size = headBytes;
  for (const value of values) size += 4 + (value?.byteLength ?? 0);
  const array = head(17, values.length, size);
  let at = headBytes;
  for (const value of values) {
    at = array.writeInt32BE(value === null ? -1 : value.byteLength, at);
    if (value === null) continue;
    array.set(value, at);
    at += value.byteLength;
  }
  return array;
}

/** Texts are short and of one byte a character, mostly: a call into the engine's encoder for each costs more than they do. */
export function textArray(values: readonly (string | null)[]): Buffer {
  let most = headBytes + 4 * values.length;
  for (const value of values) if (value !== null) most += 3 * value.length;
  const array = head(25, values.length, most);
  let at = headBytes;
  for (const value of values) {
    const length = value === null ? -1 : writeText(array, value, at + 4);
    array.writeInt32BE(length, at);
    at += 4 + Math.max(length, 0);
  }
  return array.subarray(0, at);
}

function writeText(array: Buffer, text: string, at: number): number {
  const { length } = text;
  if (length > 64) return array.write(text, at);
  for (let index = 0; index < length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit > 0x7f) return array.write(text, at);
    array[at + index] = unit;
  }
  return length;
}

export function smallintArray(values: readonly number[]): Buffer {
  const array = head(21, values.length, headBytes + 6 * values.length);
  let at = headBytes;
  for (const value of values) at = array.writeInt16BE(value, array.writeInt32BE(2, at));
  return array;
}

/** Whole numbers up to 2^53. */
export function bigintArray(values: Float64Array | readonly (number | null)[]): Buffer {
  let nulls = 0;
  for (const value of values) if (value === null) nulls += 1;
  const array = head(20, values.length, headBytes + 12 * values.length - 8 * nulls);
  let at = headBytes;
  for (const value of values) {
    at = array.writeInt32BE(value === null ? -1 : 8, at);
    if (value === null) continue;
    const high = Math.floor(value / 0x1_0000_0000);
    at = array.writeUInt32BE(value - high * 0x1_0000_0000, array.writeInt32BE(high, at));
  }
  return array;
}
