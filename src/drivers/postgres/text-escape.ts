/** What a text of PostgreSQL can't hold (NUL), or would change (half a surrogate pair). */
const troubled = /\0|[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/;

/** A text as it is stored: mostly as it is, else `"` and its JSON, as is one that begins with `"` itself. No two texts meet. */
export function escapeText(text: string): string {
  return text.startsWith('"') || troubled.test(text) ? JSON.stringify(text) : text;
}

export function unescapeText(stored: string): string {
  return stored.startsWith('"') ? (JSON.parse(stored) as string) : stored;
}
