/** A character for a message: itself if it is printable ASCII, else its code point, so that no terminal obeys it. */
export function describeCharacter(point: number): string {
  if (point > 0x20 && point < 0x7f) return `"${String.fromCodePoint(point)}"`;
  return point === 0x20 ? "a space" : `U+${point.toString(16).toUpperCase().padStart(4, "0")}`;
}

/** What kind of thing a value is, in words, without the value. */
export function describeKind(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
