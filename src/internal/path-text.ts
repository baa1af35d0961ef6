/** `items[0].total`; keys that are no plain names stand in quotes, without control characters. */
export function pathText(path: readonly PropertyKey[]): string {
  let text = "";
  for (const key of path) {
    if (typeof key === "number" || (typeof key === "string" && /^\d+$/.test(key))) text += `[${key}]`;
    else if (typeof key === "string" && /^[\w$-]{1,60}$/.test(key)) text += text === "" ? key : `.${key}`;
    else
      text += `["${String(key)
        .slice(0, 60)
        .replaceAll(/[^\x20-\x7e]/g, "?")}"]`;
  }
  return text;
}
