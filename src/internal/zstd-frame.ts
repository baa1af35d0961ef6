const magic = 0xfd2f_b528;
/** Frames that a decoder passes over, which some writers put before their own. */
const skippable = 0x184d_2a50;
const skippableMask = 0xffff_fff0;
const dictionaryBytes = [0, 1, 2, 4];
const contentSizeBytes = [0, 2, 4, 8];

/**
 * How long the zstd frame (RFC 8878) at the beginning of these bytes is, with skippable ones before it; undefined when it is none, or is cut off. Node 22 takes a
 * frame that is cut off for a complete one without content.
 */
export function zstdFrameLength(bytes: Uint8Array): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let start = 0;
  while (start + 8 <= bytes.length && (view.getUint32(start, true) & skippableMask) >>> 0 === skippable)
    start += 8 + view.getUint32(start + 4, true);
  if (start + 5 > bytes.length || view.getUint32(start, true) !== magic) return undefined;
  const descriptor = view.getUint8(start + 4);
  const single = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >>> 6;
  let at = start + 5 + (single ? 0 : 1) + dictionaryBytes[descriptor & 3]!;
  at += sizeFlag === 0 && single ? 1 : contentSizeBytes[sizeFlag]!;
  for (let last = false; !last;) {
    if (at + 3 > bytes.length) return undefined;
    const block = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    last = (block & 1) === 1;
    const repeated = ((block >>> 1) & 3) === 1; // one byte, so many times
    at += 3 + (repeated ? 1 : block >>> 3);
  }
  if ((descriptor & 4) !== 0) at += 4; // its checksum
  return at <= bytes.length ? at : undefined;
}
