import { describe, expect, it } from "vitest";
import type { LogRow } from "./log.ts";
import { RecentRows } from "./recent-rows.ts";

const row = (seq: number, bytes = 1): LogRow => ({
  seq,
  partition: seq % 4,
  topic: "a",
  key: null,
  expires: null,
  headers: null,
  body: new Uint8Array(bytes),
});
const read = (
  rows: RecentRows,
  from: number,
  upTo: number,
  limit = 100,
  partitions?: readonly number[],
): readonly number[] | undefined => rows.read(from, upTo, limit, partitions)?.map(({ seq }) => seq);

describe("the rows that were just appended", () => {
  it("are given back in order, as many as asked for, of the partitions asked for", () => {
    const rows = new RecentRows();
    for (let seq = 10; seq < 20; seq += 1) rows.add(row(seq));
    expect(read(rows, 12, 15)).toEqual([12, 13, 14, 15]);
    expect(read(rows, 10, 19, 3)).toEqual([10, 11, 12]);
    expect(read(rows, 10, 19, 100, [1, 3])).toEqual([11, 13, 15, 17, 19]);
    expect(read(rows, 15, 14)).toEqual([]);
  });

  it("are not there before the first, behind the last, and after another's", () => {
    const rows = new RecentRows();
    expect(read(rows, 1, 1)).toBeUndefined();
    for (let seq = 10; seq < 20; seq += 1) rows.add(row(seq));
    expect([read(rows, 9, 12), read(rows, 19, 20)]).toEqual([undefined, undefined]);
    rows.add(row(25));
    expect([read(rows, 19, 19), read(rows, 25, 25)]).toEqual([undefined, [25]]);
  });

  it("are few, by number and by size", () => {
    const rows = new RecentRows();
    for (let seq = 1; seq <= 10_000; seq += 1) rows.add(row(seq));
    expect(read(rows, 10_000, 10_000)).toEqual([10_000]);
    expect(read(rows, 10_000 - 4_097, 10_000)).toBeUndefined();
    for (let seq = 10_001; seq <= 10_020; seq += 1) rows.add(row(seq, 1_048_576));
    expect(read(rows, 10_010, 10_020)).toBeUndefined();
  });
});
