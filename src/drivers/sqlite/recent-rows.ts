import type { LogRow } from "./log.ts";

const mostRows = 4_096;
const mostBytes = 8 * 1_048_576;

/**
 * The newest rows of a log that this process appended itself, without a gap, so that its own consumers need not read them back.
 * Pure; at most a few thousand rows or megabytes.
 */
export class RecentRows {
  #rows: LogRow[] = [];
  #bytes = 0;

  add(row: LogRow): void {
    const last = this.#rows.at(-1);
    if (last !== undefined && last.seq + 1 !== row.seq) this.clear(); // another process came between
    this.#rows.push(row);
    this.#bytes += row.body.byteLength;
    if (this.#bytes > mostBytes) this.clear();
    else if (this.#rows.length > mostRows) {
      const gone = this.#rows.splice(0, mostRows / 2);
      for (const { body } of gone) this.#bytes -= body.byteLength;
    }
  }

  /** Those from `from` to `upTo`, at most `limit`; undefined when some of them are not here. */
  read(from: number, upTo: number, limit: number, partitions: readonly number[] | undefined): LogRow[] | undefined {
    const first = this.#rows[0]?.seq;
    if (first === undefined || from < first || upTo >= first + this.#rows.length) return undefined;
    const wanted = partitions === undefined ? undefined : new Set(partitions);
    const found: LogRow[] = [];
    for (let index = from - first; index <= upTo - first && found.length < limit; index += 1) {
      const row = this.#rows[index]!;
      if (wanted === undefined || wanted.has(row.partition)) found.push(row);
    }
    return found;
  }

  clear(): void {
    this.#rows = [];
    this.#bytes = 0;
  }
}
