const kept = new Map<string, string>();

/** `count` times the mark, as in `VALUES (?), (?)`; the few texts that are used are kept. */
export function marks(count: number, mark: string): string {
  const key = `${count}${mark}`;
  let text = kept.get(key);
  if (text === undefined) kept.set(key, (text = Array.from({ length: count }).fill(mark).join(", ")));
  return text;
}
