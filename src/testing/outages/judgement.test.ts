import { describe, expect, it } from "vitest";
import { memory } from "../../drivers/memory/index.ts";
import type { HistoryRecord, Operation } from "../invariants/history.ts";
import {
  deliversAgain,
  firstFresh,
  judge,
  type Judged,
  repeatsExplained,
  stillRunning,
  storedOnce,
} from "./judgement.ts";

const record = (at: number, op: Operation, id: string, more: Partial<HistoryRecord> = {}): HistoryRecord => ({
  at,
  process: "p1",
  op,
  id,
  ...more,
});
const handled = (at: number, id: string, group = "g"): HistoryRecord => record(at, "handled", id, { group });
const messages = (violations: readonly { readonly invariant: string; readonly message: string }[]): string[] =>
  violations.map(({ invariant, message }) => `${invariant}: ${message}`);

describe("what is stored", () => {
  it("is stored once", () => {
    expect(storedOnce(["a", "b"])).toEqual([]);
    expect(storedOnce(["a", "b", "a", "a"])).toMatchObject([{ invariant: "I6", ids: ["a"] }]);
  });

  it("may be there again where the broker knows no ids", () => {
    expect(storedOnce(["a", "b", "a", "b"], new Set(["a"]))).toMatchObject([{ ids: ["b"] }]);
  });
});

describe("what still runs", () => {
  it("are those that began before, and have not ended", () => {
    const history = [
      ...["a", "b", "c"].map((id) => record(1, "handling", id, { group: "g" })),
      record(2, "handled", "a", { group: "g" }),
      record(2, "handled", "b", { group: "other" }),
      record(2, "handler-failed", "c", { group: "g" }),
      record(3, "handling", "d", { group: "g" }),
    ];
    expect([0, 3, 4].map((before) => stillRunning(history, before))).toEqual([0, 1, 2]);
    expect(stillRunning([...history, handled(5, "b")], 3)).toBe(0);
  });
});

describe("what was handled again", () => {
  const fault = { from: 100, until: 200 };
  const twice = (first: number, more: Partial<HistoryRecord> = {}): HistoryRecord[] => [
    { ...handled(first, "a"), ...more },
    { ...handled(300, "a"), ...more },
  ];

  it.each([
    [150, "during the fault"],
    [200, "when it was over"],
    [80, "so shortly before that its acknowledgement may be lost"],
  ])("is explained by its first time at %i: %s", (at) => {
    expect(repeatsExplained(twice(at), [fault], 20)).toEqual([]);
  });

  it.each([
    [79, "too long before"],
    [201, "after it"],
  ])("is not explained by its first time at %i: %s", (at) => {
    expect(messages(repeatsExplained(twice(at), [fault], 20))).toEqual([
      "I6: 1 were handled again in g that no fault explains",
    ]);
  });

  it("counts for each group by itself, and for the tail", () => {
    expect(repeatsExplained([handled(1, "a", "g"), handled(2, "a", "h"), record(3, "handled", "a")], [], 0)).toEqual(
      [],
    );
    const tail = [record(1, "handled", "a"), record(2, "handled", "a")];
    expect(messages(repeatsExplained(tail, [], 0))).toEqual([
      "I6: 1 were handled again in no group that no fault explains",
    ]);
  });

  it("is explained time by time", () => {
    const thrice = [handled(150, "a"), handled(210, "a"), handled(220, "a")];
    expect(repeatsExplained(thrice, [fault], 20)).toMatchObject([{ ids: ["a"] }]);
    expect(repeatsExplained(thrice, [fault, { from: 205, until: 215 }], 20)).toEqual([]);
  });
});

describe("what is delivered again", () => {
  const history = [
    record(90, "publish-started", "old"),
    record(110, "publish-started", "new"),
    record(120, "handling", "old", { group: "g" }),
    record(150, "handling", "new", { group: "g" }),
    record(151, "handling", "old"),
  ];

  it("is what was published after the fault: what was left over proves nothing", () => {
    expect(firstFresh(history, "g", 100)).toBe(150);
    expect(firstFresh(history, undefined, 100)).toBeUndefined();
  });

  it("is so in time, or a violation that says who and when", () => {
    expect(deliversAgain(history, ["g"], 100, 50)).toEqual([]);
    expect(messages(deliversAgain(history, ["g", undefined], 100, 49))).toEqual([
      "I9: group g got something new after 50 ms, 49 are allowed",
      "I9: the tail got nothing new, 49 are allowed",
    ]);
  });
});

describe("the judgement of a history with a fault in it", () => {
  const good = (id: string, sequence: number): HistoryRecord[] => {
    const more = { group: "g", key: "k", sequence };
    return [
      record(sequence * 10, "publish-started", id),
      record(sequence * 10 + 1, "published", id),
      record(sequence * 10 + 2, "handling", id, more),
      record(sequence * 10 + 3, "handled", id, more),
    ];
  };
  const history = [...good("a", 0), ...good("b", 1)];
  const judged: Judged = {
    history,
    capabilities: memory().capabilities,
    groups: ["g"],
    ordered: "g",
    stored: ["a", "b"],
    faults: [{ from: 5, until: 8 }],
    repeatsMs: 0,
  };
  const invariants = (changes: Partial<Judged>): string[] =>
    judge({ ...judged, ...changes }).map(({ invariant }) => invariant);

  it("complains of nothing when all is well", () => {
    expect(invariants({})).toEqual([]);
  });

  it.each<[string, Partial<Judged>]>([
    ["I1", { history: history.filter(({ op, id }) => op !== "handled" || id !== "b") }],
    ["I1", { tail: true }],
    ["I2", { history: [...history, record(30, "handling", "never published", { group: "g" })] }],
    ["I4", { stored: ["a"] }],
    ["I5", { history: [...history, record(30, "publish-failed", "c")], stored: ["a", "b", "c"] }],
    ["I6", { stored: ["a", "b", "b"] }],
    ["I6", { history: [...history, handled(30, "b")] }],
    ["I7", { history: [...good("b", 1), ...good("a", 0)] }],
  ])("says %s of %j", (invariant, changes) => {
    expect(invariants(changes)).toContain(invariant);
  });

  it("says nothing of what the driver's capabilities excuse", () => {
    const capabilities = memory().capabilities;
    const disorder = { history: [...good("b", 1), ...good("a", 0)] };
    expect(invariants({ ...disorder, capabilities: { ...capabilities, order: false } })).toEqual([]);
    expect(invariants({ ...disorder, capabilities: { ...capabilities, handover: "abrupt" } })).toEqual([]);
    // tried again during the fault, at a broker that knows no ids
    const copied = { stored: ["a", "a", "b"], faults: [{ from: 0, until: 8 }] };
    expect(invariants({ ...copied, capabilities: { ...capabilities, dedupeWindowMs: 0 } })).toEqual([]);
    expect(invariants(copied)).toEqual(["I6"]);
    expect(invariants({ stored: ["a", "b", "b"], capabilities: { ...capabilities, dedupeWindowMs: 0 } })).toEqual([
      "I6",
    ]);
  });

  it("holds nothing to the order that began while nobody could know who owns a key, and everything that began later", () => {
    const disorder = { history: [...good("b", 1), ...good("a", 0)].toSorted((a, b) => a.at - b.at) };
    const overlap = (at: number): readonly HistoryRecord[] => [
      ...disorder.history,
      record(at, "handling", "a", { group: "g", key: "k", sequence: 0 }),
      record(at + 1, "handling", "b", { group: "g", key: "k", sequence: 1 }),
    ];
    const disowned = { from: 30, until: 40 };
    expect(invariants({ history: overlap(30), disowned })).toEqual([]);
    expect(invariants({ history: overlap(30) })).toEqual(["I7"]);
    expect(invariants({ history: overlap(41), disowned })).toEqual(["I7"]);
  });

  it("leaves out what needs the stored messages where they can't be read", () => {
    expect(invariants({ stored: undefined })).toEqual([]);
  });
});
