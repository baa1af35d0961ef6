/** `OMNIBUS_FULL=1` runs every test with its full parameters. */
export const isFull: boolean = process.env["OMNIBUS_FULL"] === "1";

/** `OMNIBUS_SEED` repeats a run; printed with every failure. */
export const seed: number = Number(process.env["OMNIBUS_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

/** Numbers in [0, 1) that depend on the seed and the name only, so that a test draws the same alone and among others. */
export function randomFor(name: string, from: number = seed): () => number {
  let state = from | 0;
  for (const character of name) state = Math.imul(state ^ character.charCodeAt(0), 0x01000193);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const copy = [...items];
  for (let last = copy.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [copy[last], copy[other]] = [copy[other] as T, copy[last] as T];
  }
  return copy;
}
