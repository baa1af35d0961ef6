const userInfo = /\/\/[^\s/?#]*@/gu;
const secretParameter = /([?&;\s](?:[\w-]*(?:pass|pwd|token|secret|credential|auth|apikey|api_key)[\w-]*)=)[^&\s;]+/giu;

/** What stands between `//` and the last `@`, however badly the url is written. */
function secretsOf(url: string): string[] {
  const from = url.indexOf("//");
  const to = url.lastIndexOf("@");
  if (from < 0 || to < from) return [];
  const info = url.slice(from + 2, to);
  const password = info.slice(info.indexOf(":") + 1);
  return [info, password, decoded(password)].filter((secret) => secret.length > 2);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The text without user names, passwords and tokens: those of any url in it, and those of `url` wherever they stand. */
export function redact(text: string, url = ""): string {
  let clean = text;
  for (const secret of secretsOf(url)) clean = clean.replaceAll(secret, "***");
  return clean.replace(userInfo, "//***@").replace(secretParameter, "$1***");
}
