/** The driver contract's. */
export type Headers = readonly (readonly [name: string, value: string])[];

const encoded = new WeakMap<Headers, string>();
const none: Headers = [];
/** Texts that come again and again, parsed once. */
const decoded = new Map<string, Headers>();
const mostDecoded = 256;

/** As JSON; null for none. The list is never changed once sent, so that of a shared one the text is kept. */
export function encodeHeaders(headers: Headers): string | null {
  if (headers.length === 0) return null;
  let text = encoded.get(headers);
  if (text === undefined) encoded.set(headers, (text = JSON.stringify(headers)));
  return text;
}

export function decodeHeaders(text: string | null): Headers {
  if (text === null) return none;
  let headers = decoded.get(text);
  if (headers === undefined) {
    headers = JSON.parse(text) as Headers;
    if (text.length > 256) return headers;
    if (decoded.size >= mostDecoded) decoded.clear();
    decoded.set(text, headers);
  }
  return headers;
}
