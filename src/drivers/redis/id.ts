/** Entry ids are `ms-seq`; the sequence is an unsigned 64-bit number. */
const lastSequence = "18446744073709551615";

function parts(id: string): readonly [ms: string, sequence: string] {
  const dash = id.indexOf("-");
  return dash < 0 ? [id, "0"] : [id.slice(0, dash), id.slice(dash + 1)];
}

/** Decimal numbers without leading zeros. */
function compareNumbers(left: string, right: string): number {
  if (left.length !== right.length) return left.length - right.length;
  return left < right ? -1 : left > right ? 1 : 0;
}

export function compareIds(left: string, right: string): number {
  const [leftMs, leftSequence] = parts(left);
  const [rightMs, rightSequence] = parts(right);
  return compareNumbers(leftMs, rightMs) || compareNumbers(leftSequence, rightSequence);
}

/** The greatest id that is lower: the position of a group that has handled everything before this one. */
export function before(id: string): string {
  const [ms, sequence] = parts(id);
  if (sequence !== "0") return `${ms}-${BigInt(sequence) - 1n}`;
  return ms === "0" ? "0-0" : `${BigInt(ms) - 1n}-${lastSequence}`;
}

/** Everything stored at that time or later comes after it. */
export function idOfTime(ms: number): string {
  return before(`${Math.max(Math.floor(ms), 0)}-0`);
}

/** When the entry was stored, by the server's clock. */
export function timeOfId(id: string): number {
  return Number(parts(id)[0]);
}
