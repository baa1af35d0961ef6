import { gunzipSync, zstdDecompressSync } from "node:zlib";

/** What the client unpacks without a limit of its own; by the bits of a batch's attributes. */
export interface Unpackers {
  readonly [bits: number]: { decompressSync(bytes: Buffer): Buffer } | undefined;
}

const [gzip, snappy, lz4, zstd] = [1, 2, 3, 4];
const xerial = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0]);
const xerialHead = 16;
const lz4Magic = 0x184d2204;

/** A batch that states, or turns out, to be more than `most` bytes is refused: 100 bytes can become gigabytes. */
export function unpack(bytes: Buffer, bits: number, most: number, unpackers: Unpackers): Buffer {
  if (bits === gzip) return gunzipSync(bytes, { maxOutputLength: most });
  if (bits === zstd) return zstdDecompressSync(bytes, { maxOutputLength: most });
  const stated = bits === snappy ? snappyBytes(bytes) : bits === lz4 ? lz4Bytes(bytes) : 0;
  if (stated > most) throw new RangeError(`it unpacks to ${stated} bytes, and ${most} is the most`);
  const unpacker = unpackers[bits];
  if (unpacker === undefined) throw new RangeError(`nobody packs by ${bits}`);
  return unpacker.decompressSync(bytes);
}

/** Of one block it stands in front; Java's producers write several, each with its length. */
function snappyBytes(bytes: Buffer): number {
  if (!bytes.subarray(0, xerial.length).equals(xerial)) return blockBytes(bytes, 0);
  let sum = 0;
  for (let at = xerialHead; at + 4 <= bytes.length; at += 4 + bytes.readUInt32BE(at)) sum += blockBytes(bytes, at + 4);
  return sum;
}

function blockBytes(bytes: Buffer, from: number): number {
  let value = 0;
  for (let at = from, shift = 1; at < bytes.length && at < from + 5; at += 1, shift *= 128) {
    const byte = bytes[at]!;
    value += (byte & 0x7f) * shift;
    if (byte < 0x80) break;
  }
  return value;
}

/** What the frame states, or else all of its blocks but the last, as if full: it may pass the limit by one, of 4 MiB at most. */
function lz4Bytes(bytes: Buffer): number {
  if (bytes.length < 7 || bytes.readUInt32LE(0) !== lz4Magic) throw new RangeError("it is no lz4 frame");
  const flags = bytes[4]!;
  const statesSize = (flags & 0x08) !== 0;
  if (statesSize && bytes.length >= 14) return Number(bytes.readBigUInt64LE(6));
  const blockMost = 1 << (8 + 2 * ((bytes[5]! >>> 4) & 0x07));
  let blocks = 0;
  for (let at = 7 + ((flags & 0x01) !== 0 ? 4 : 0); at + 4 <= bytes.length;) {
    const size = bytes.readUInt32LE(at) & 0x7fff_ffff;
    if (size === 0) break;
    blocks += 1;
    at += 4 + size + ((flags & 0x10) !== 0 ? 4 : 0);
  }
  return Math.max(0, blocks - 1) * blockMost;
}
