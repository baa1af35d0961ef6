import type { Entry } from "./journal.ts";

/** For the demo's own test: it must notice when something is wrong. `OMNIBUS_DEMO_FAULT` says what; a fault that can't be made throws. */
export function injectFault(
  entries: readonly Entry[],
  fault: string | undefined = process.env["OMNIBUS_DEMO_FAULT"],
): readonly Entry[] {
  if (fault === undefined) return entries;
  const audited = (entry: Entry): boolean => entry.group === "audit";
  const last = entries.findLastIndex(audited);
  const lastEntry = entries[last];
  if (lastEntry === undefined) throw new Error(`OMNIBUS_DEMO_FAULT=${fault}: nothing was handled that could go wrong`);
  // All its runs: after the kill another worker may have handled it again.
  if (fault === "lose") return entries.filter((entry) => !audited(entry) || entry.id !== lastEntry.id);
  const broken = [...entries];
  if (fault === "twice") broken.splice(last, 0, lastEntry);
  else if (fault === "swap") {
    const at = entries.findLastIndex((entry, end) => audited(entry) && before(entry, end) >= 0);
    if (at < 0)
      throw new Error("OMNIBUS_DEMO_FAULT=swap: no worker handled two events of one repository: take more --events");
    const other = before(entries[at]!, at);
    [broken[at], broken[other]] = [entries[other]!, entries[at]!];
  } else throw new TypeError(`OMNIBUS_DEMO_FAULT must be lose, twice or swap, not ${fault}`);
  return broken;

  /** Where the same worker handled the event before it of the same repository. */
  function before({ key, worker, id }: Entry, end: number): number {
    return entries.findLastIndex((entry, index) => {
      return index < end && audited(entry) && entry.key === key && entry.worker === worker && entry.id !== id;
    });
  }
}
