/** Beyond it the engine's own encoder is faster than a loop. */
const shortText = 48;

/** Writes a short text whose characters have a byte each, one a character, from `at` on; false: it is another one, to be written otherwise. */
export function writeAscii(bytes: Uint8Array, at: number, text: string): boolean {
  const { length } = text;
  if (length > shortText) return false;
  for (let index = 0; index < length; index += 1) {
    const code = text.charCodeAt(index);
    if (code > 127) return false;
    bytes[at + index] = code;
  }
  return true;
}
