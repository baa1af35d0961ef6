/** The binding for a pattern. The server's `*` is one token as ours is, its `#` any number, none included: `>` is one or more. */
export function exactKey(pattern: string): string {
  const tokens = pattern.split(".");
  if (tokens.at(-1) === ">") tokens.splice(-1, 1, "*", "#");
  return tokens.join(".");
}

/** The same below the token of the partition. */
export const bindingKey = (pattern: string): string => `*.${exactKey(pattern)}`;
