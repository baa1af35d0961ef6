// Whatever came over a bus may have been written to play with the reader's terminal: colours, cursor movements, window
// titles, text that runs backwards. Each alternative consumes what it matched, so the time is linear in the text.
/* oxlint-disable no-control-regex -- controls are what this is about */
const sequences =
  /\u001b[\]PX^_][^\u0007\u001b\u009c]*(?:\u0007|\u001b\\|\u009c)?|[\u0090\u0098\u009d-\u009f][^\u0007\u001b\u009c]*(?:\u0007|\u001b\\|\u009c)?|(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]?|\u001b[ -/]*[0-~]?/gu;
const blanks = /[\t\n\r\u2028\u2029]+/gu;
const controls = /[\u0000-\u001f\u007f-\u009f]/gu;
const controlsInLines = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/gu;
const invisible = /[\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu;
const unsafeInJson = /[\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu;
/* oxlint-enable no-control-regex */

/** One line of text that a terminal shows and does not obey: no C0, C1, escape sequences or direction marks. */
export function printable(text: string): string {
  return text.toWellFormed().replace(sequences, "").replace(blanks, " ").replace(controls, "").replace(invisible, "");
}

/** The same for text of several lines, such as a stack. */
export function printableLines(text: string): string {
  return text
    .toWellFormed()
    .replace(sequences, "")
    .replace(/\r\n?|[\u2028\u2029]/gu, "\n")
    .replace(controlsInLines, " ")
    .replace(invisible, "");
}

function plain(this: unknown, _key: string, value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  return value instanceof Uint8Array ? Buffer.from(value).toString("base64") : value;
}

/** JSON on one line (or indented) whose strings hold escapes where a terminal might obey; nothing is lost by it. */
export function jsonText(value: unknown, indent = 0): string {
  const text = JSON.stringify(value, plain, indent) ?? "null";
  return text.replace(unsafeInJson, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
