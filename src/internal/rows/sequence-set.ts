/** Ascending numbers above `base` as differences of seven bits a byte: what of a partition is settled above its cursor. */
export function encodeSequences(base: number, sequences: Iterable<number>): Uint8Array | null {
  const bytes: number[] = [];
  let before = base;
  for (const seq of sequences) {
    let rest = seq - before;
    before = seq;
    for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
    bytes.push(rest);
  }
  return bytes.length === 0 ? null : Uint8Array.from(bytes);
}

export function decodeSequences(base: number, bytes: Uint8Array | null): Set<number> {
  const found = new Set<number>();
  let seq = base;
  let rest = 0;
  let scale = 1;
  for (const byte of bytes ?? []) {
    rest += (byte % 128) * scale;
    scale *= 128;
    if (byte >= 128) continue;
    seq += rest;
    found.add(seq);
    rest = 0;
    scale = 1;
  }
  return found;
}
