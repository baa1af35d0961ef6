import { describe, expect, it } from "vitest";
import { Ledger } from "./ledger.ts";
import { type LedgerEntry, ledgerText, parseLedger } from "./ledger-text.ts";
import { MarkAhead } from "./mark-ahead.ts";

/** The same numbers each time. */
function dice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) & 0x7fff_ffff;
    return state % below;
  };
}

const entry: LedgerEntry = {
  topicId: "abcdefgh",
  revision: 77,
  handed: 1_090,
  suspect: 1_003,
  held: 4,
  timed: 1,
  ranges: [],
  notes: [],
};

describe("a ledger", () => {
  it("knows what a set of offsets knows, whatever is settled in whatever order", () => {
    for (let seed = 1; seed <= 60; seed += 1) {
      const roll = dice(seed);
      const ledger = new Ledger(10);
      const model = new Set<number>();
      for (let step = 0; step < 60; step += 1) {
        const from = roll(60);
        const to = from + roll(6);
        const before = ledger.floor;
        const rose = ledger.settle(from, to);
        for (let offset = from; offset < to; offset += 1) model.add(offset);
        let floor = 10;
        while (model.has(floor)) floor += 1;
        expect([ledger.floor, rose]).toEqual([floor, floor > before]);
        const offsets = Array.from({ length: 70 }, (_, at) => at);
        expect(offsets.filter((each) => ledger.isSettled(each))).toEqual(
          offsets.filter((each) => each < 10 || model.has(each)),
        );
        for (const [at, [start, end]] of ledger.ranges.entries())
          expect(start > (ledger.ranges[at - 1]?.[1] ?? ledger.floor) && end > start).toBe(true);
      }
      const again = new Ledger(ledger.floor, ledger.ranges);
      expect([again.floor, again.ranges]).toEqual([ledger.floor, ledger.ranges]);
    }
  });

  it("comes back from its text", () => {
    const whole: LedgerEntry = {
      ...entry,
      ranges: [
        [1_001, 1_002],
        [1_010, 1_050],
      ],
      notes: [
        { offset: 1_000, attempts: 2, notBefore: 1_795_328_405_345, headers: [["omnibus-done", "a|b,é"]] },
        { offset: 1_004, attempts: 1, notBefore: undefined, headers: [] },
      ],
    };
    const text = ledgerText(1_000, whole) ?? "";
    expect(parseLedger(1_000, text, "abcdefgh")).toEqual(whole);
    expect(parseLedger(1_000, text, "another!")).toBeUndefined();
  });

  it.each(["", null, "started:5", "2|abcdefgh|0|0|0|0|0||[]", "1|abcdefgh|!|0|0|0|0||[]", "1|abcdefgh|0|0|0|0|0|5|[]"])(
    "takes %j for nobody's",
    (text) => {
      expect(parseLedger(1_000, text, "abcdefgh")).toBeUndefined();
    },
  );

  it("never is longer than the broker takes: ranges go first, from the far end, notes never", () => {
    const ranges = Array.from({ length: 3_000 }, (_, at) => [1_001 + at * 3, 1_002 + at * 3] as const);
    const text = ledgerText(1_000, { ...entry, ranges }) ?? "";
    expect(text.length).toBeLessThanOrEqual(4_000);
    const kept = parseLedger(1_000, text, "abcdefgh")?.ranges ?? [];
    expect(kept.length).toBeGreaterThan(800);
    expect(kept).toEqual(ranges.slice(0, kept.length));
    const note = { offset: 1_000, attempts: 1, notBefore: undefined, headers: [["h", "x".repeat(4_000)]] as const };
    expect(ledgerText(1_000, { ...entry, notes: [note] })).toBeUndefined();
  });
});

describe("a mark ahead", () => {
  it("covers nothing that the broker was not told, and is renewed before it is used up", () => {
    const mark = new MarkAhead(100, 0);
    expect([mark.covers(100), mark.wanted()]).toEqual([false, 164]);
    mark.confirmed(164);
    expect([mark.covers(163), mark.covers(164), mark.wanted()]).toEqual([true, false, undefined]);
    for (let offset = 100; offset < 133; offset += 1) mark.handOut(offset, 0);
    expect(mark.wanted()).toBe(133 + 64);
    expect(mark.wanted(150)).toBe(151 + 64);
  });

  it("stands by what comes in a second ahead, within bounds", () => {
    const mark = new MarkAhead(0, 0);
    for (let offset = 0; offset < 400; offset += 1) mark.handOut(offset, offset * 5);
    expect(mark.wanted()).toBe(400 + 201);
    for (let offset = 400; offset < 90_000; offset += 1) mark.handOut(offset, 2_000 + offset / 20);
    expect(mark.wanted()).toBe(90_000 + 1_024);
  });
});
