import type { Entry } from "./journal.ts";

/** For the demo's own test: it must notice when something is wrong. `OMNIBUS_DEMO_FAULT` says what. */
export function injectFault(
  entries: readonly Entry[],
  fault: string | undefined = process.env["OMNIBUS_DEMO_FAULT"],
): readonly Entry[] {
  const audited = (entry: Entry): boolean => entry.group === "audit";
  const at = entries.findLastIndex((last, lastAt) => audited(last) && before(last, lastAt) >= 0);
  if (fault === undefined || at < 0) return entries;
  const broken = [...entries];
  if (fault === "lose") broken.splice(at, 1);
  else if (fault === "twice") broken.splice(at, 0, entries[at]!);
  else if (fault === "swap") {
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
