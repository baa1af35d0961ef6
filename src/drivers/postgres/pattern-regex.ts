/** Patterns as one regular expression of the server's; null: all. */
export function regexOf(patterns: readonly string[]): string | null {
  if (patterns.includes(">")) return null;
  return `^(?:${patterns.map((pattern) => pattern.split(".").map(tokenOf).join("\\.")).join("|")})$`;
}

function tokenOf(token: string): string {
  if (token === "*") return "[^.]+";
  return token === ">" ? ".+" : token.replaceAll(/[^\p{L}\p{N}_]/gu, "\\$&");
}
