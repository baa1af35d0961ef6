import { describe, expect, it } from "vitest";
import { nothingDuplicated, nothingInvented, nothingLost, settledOnlyWhenDone } from "./delivery.ts";
import { effectOnce, fenced } from "./effects.ts";
import { faultHappened, inFlightAtKill, loud, ProcessWatch } from "./faults.ts";
import { type HistoryRecord, type Operation, summary } from "./history.ts";
import { keyOrder } from "./key-order.ts";
import { bounded, progress, resources } from "./liveness.ts";
import { acknowledgedIsStored, definiteFailures } from "./publishing.ts";

let at = 0;
function record(op: Operation, id: string, more: Partial<HistoryRecord> = {}): HistoryRecord {
  return { at: at++, process: "p1", op, id, ...more };
}
/** Published and handled by group g, one after another. */
function good(...ids: readonly string[]): HistoryRecord[] {
  return ids.flatMap((id, sequence) => [
    record("publish-started", id, { sequence }),
    record("published", id, { sequence }),
    record("handling", id, { group: "g", key: "k", sequence }),
    record("handled", id, { group: "g", key: "k", sequence }),
    record("settled", id, { group: "g", key: "k", sequence }),
  ]);
}
const idsOfAll = (violations: readonly { readonly ids: readonly string[] }[]): string[] =>
  violations.flatMap(({ ids }) => ids);

describe("the checkers of a faultless history", () => {
  it("complain of nothing", () => {
    const history = good("a", "b", "c");
    expect([
      ...nothingLost(history),
      ...nothingInvented(history),
      ...nothingDuplicated(history),
      ...settledOnlyWhenDone(history),
      ...acknowledgedIsStored(history, new Set(["a", "b", "c"])),
      ...definiteFailures(history, new Set(["a", "b", "c"])),
      ...keyOrder(history),
      ...fenced(history),
      ...progress([3, 2, 1, 0]),
    ]).toEqual([]);
  });
});

describe("I1, nothing lost", () => {
  const published = ["a", "b", "c", "d", "e"].map((id, sequence) => record("published", id, { sequence }));
  const handled = (...ids: readonly string[]): HistoryRecord[] =>
    ids.map((id) => record("handled", id, { group: "g" }));

  it.each([
    [["b", "c", "d", "e"], "prefix 1, middle 0, postfix 0", ["a"]],
    [["a", "b", "d", "e"], "prefix 0, middle 1, postfix 0", ["c"]],
    [["a", "b", "c"], "prefix 0, middle 0, postfix 2", ["d", "e"]],
    [["b", "d"], "prefix 1, middle 1, postfix 1", ["a", "c", "e"]],
  ])("complains of what is missing from %j: %s", (arrived, place, lost) => {
    const violations = nothingLost([...published, ...handled(...arrived)]);
    expect(violations).toMatchObject([{ invariant: "I1", message: expect.stringContaining(place), ids: lost }]);
  });

  it("option: DeliveryOptions.groups makes it complain of a group that got nothing at all", () => {
    const history = [...published, ...handled("a", "b", "c", "d", "e")];
    expect(idsOfAll(nothingLost(history, { groups: ["g", "other"] }))).toEqual(["a", "b", "c", "d", "e"]);
  });

  it("complains of everything when nobody handled anything, whichever groups there were", () => {
    expect(nothingLost(published)).toMatchObject([{ invariant: "I1", ids: ["a", "b", "c", "d", "e"] }]);
    expect(nothingLost([record("publish-unknown", "f")])).toEqual([]);
    expect(nothingLost([record("published", "a"), record("dead-lettered", "a", { group: "g" })])).toEqual([]);
  });

  it("takes a dead letter and a drop by policy for an end", () => {
    const ended = [record("dead-lettered", "e", { group: "g" }), record("dropped", "d", { group: "g" })];
    expect(nothingLost([...published, ...handled("a", "b", "c"), ...ended])).toEqual([]);
  });

  it("does not ask for what was not acknowledged", () => {
    expect(nothingLost([...published, record("publish-unknown", "f"), ...handled("a", "b", "c", "d", "e")])).toEqual(
      [],
    );
  });
});

describe("I2, nothing invented", () => {
  it("complains of what nobody published", () => {
    expect(idsOfAll(nothingInvented([...good("a"), record("handling", "ghost")]))).toEqual(["ghost"]);
  });
  it("complains of a body that changed", () => {
    const history = [record("publish-started", "a", { hash: "1" }), record("handled", "a", { hash: "2" })];
    expect(idsOfAll(nothingInvented(history))).toEqual(["a"]);
  });
});

describe("I3, nothing wrongly settled", () => {
  it.each([
    ["before it was handled", [record("handling", "a"), record("settled", "a"), record("handled", "a")]],
    ["by another process", [record("handled", "a"), record("settled", "a", { process: "p2" })]],
    ["in a later epoch", [record("handled", "a", { epoch: 1 }), record("settled", "a", { epoch: 2 })]],
    ["after it failed", [record("handling", "a"), record("handler-failed", "a"), record("settled", "a")]],
  ])("complains of a message settled %s", (_, history) => {
    expect(idsOfAll(settledOnlyWhenDone(history))).toEqual(["a"]);
  });
});

describe("I4 and I5, what a publisher was told", () => {
  it("complains of an acknowledgement of what is not there", () => {
    expect(idsOfAll(acknowledgedIsStored(good("a", "b"), new Set(["a"])))).toEqual(["b"]);
  });
  it("complains of a definite failure that was stored, or handled", () => {
    expect(idsOfAll(definiteFailures([record("publish-failed", "a")], new Set(["a"])))).toEqual(["a"]);
    expect(idsOfAll(definiteFailures([record("publish-failed", "a"), record("handling", "a")], new Set()))).toEqual([
      "a",
    ]);
  });
  it("lets an unknown one appear, and one whose next try was taken", () => {
    const history = [record("publish-unknown", "a"), record("publish-failed", "b"), record("published", "b")];
    expect(definiteFailures(history, new Set(["a", "b"]))).toEqual([]);
  });
});

describe("I6, one effect", () => {
  const runs = [record("published", "a"), record("handling", "a"), record("handling", "a")];

  it("complains of two effects", () => {
    expect(idsOfAll(effectOnce([...runs, record("effect", "a"), record("effect", "a")]))).toEqual(["a"]);
  });
  it("complains of none", () => {
    expect(idsOfAll(effectOnce(runs))).toEqual(["a"]);
  });
  it("complains of a run without a duplicate, which proves nothing", () => {
    const history = [record("published", "a"), record("handling", "a"), record("effect", "a")];
    expect(effectOnce(history)).toMatchObject([{ message: expect.stringContaining("nothing is proven") }]);
    expect(effectOnce([...runs, record("effect", "a")])).toEqual([]);
  });
  it("complains of a duplicate that no fault explains", () => {
    const history = [...good("a", "b"), record("handled", "a", { group: "g" }), record("handled", "b", { group: "g" })];
    expect(idsOfAll(nothingDuplicated(history, new Set(["b"])))).toEqual(["a"]);
  });
});

describe("I7, order per key", () => {
  const step = (op: Operation, sequence: number, process = "p1"): HistoryRecord =>
    record(op, `${sequence}`, { group: "g", key: "k", sequence, process });
  const whole = (sequence: number): HistoryRecord[] => [step("handling", sequence), step("handled", sequence)];

  it("complains of two that are swapped", () => {
    expect(keyOrder([...whole(0), ...whole(2), ...whole(1)])).toMatchObject([{ ids: ["2"] }, { ids: ["1"] }]);
  });
  it("complains of a gap", () => {
    expect(idsOfAll(keyOrder([...whole(0), ...whole(2)]))).toEqual(["2"]);
  });
  it("complains of two at once, even in their order", () => {
    const history = [step("handling", 0), step("handling", 1, "p2"), step("handled", 0), step("handled", 1, "p2")];
    expect(idsOfAll(keyOrder(history))).toContain("1");
  });
  it("complains of one that overtakes a retry", () => {
    expect(idsOfAll(keyOrder([step("handling", 0), step("handler-failed", 0), ...whole(1)]))).toEqual(["1"]);
  });
  it("option: KeyOrderOptions.repeats takes a repeat, which is complained of unless there was a kill", () => {
    const history = [...whole(0), ...whole(0)];
    expect(idsOfAll(keyOrder(history))).toEqual(["0"]);
    expect(keyOrder(history, { repeats: true })).toEqual([]);
  });
  it("lets another process begin again what a killed one ran", () => {
    const kill = record("killed", "", { process: "p1" });
    expect(keyOrder([step("handling", 0), kill, step("handling", 0, "p2"), step("handled", 0, "p2")])).toEqual([]);
  });
  it("keeps keys and groups apart", () => {
    const other = [
      record("handling", "x", { group: "g", key: "l", sequence: 0 }),
      record("handling", "y", { group: "h", key: "k", sequence: 0 }),
    ];
    expect(keyOrder([step("handling", 0), ...other, step("handled", 0)])).toEqual([]);
  });
});

describe("I8, fencing", () => {
  it("complains of an effect of a former owner", () => {
    const effect = (id: string, epoch: number): HistoryRecord => record("effect", id, { group: "g", key: "k", epoch });
    expect(idsOfAll(fenced([effect("a", 1), effect("b", 2), effect("c", 1)]))).toEqual(["c"]);
  });
});

describe("I9, liveness", () => {
  it.each([
    ["that stands still", [9, 8, 8, 8, 8, 8, 8]],
    ["that goes up and down", [9, 8, 9, 8, 9, 8, 9]],
    ["that is not drained", [9, 5, 1]],
    ["that nobody looked at", []],
  ])("complains of a backlog %s", (_, backlog) => {
    expect(progress(backlog)).toMatchObject([{ invariant: "I9" }]);
  });

  it("option: ProgressOptions.polls is for how many looks it may stand still", () => {
    const backlog = [9, 8, 8, 8, 8, 0];
    expect(progress(backlog, { polls: 3 })).toMatchObject([{ invariant: "I9" }]);
    expect(progress(backlog, { polls: 4 })).toEqual([]);
  });
});

describe("I10, bounded", () => {
  const before = resources();
  it.each(["handles", "files", "listeners"] as const)("complains of %s that are left open", (name) => {
    expect(bounded(before, { ...before, [name]: before[name] + 1 }, 0)).toMatchObject([{ invariant: "I10" }]);
  });
  it("complains of memory above the limit only", () => {
    const after = { ...before, rssBytes: before.rssBytes + 1_000 };
    expect([bounded(before, after, 999).length, bounded(before, after, 1_000).length]).toEqual([1, 0]);
  });
});

describe("I11, loud", () => {
  it("complains of what was not said, and of what the process said", () => {
    expect(loud(["disconnected"], ["disconnected", "messages-lost"], ["unhandledRejection: x"])).toHaveLength(2);
  });
  it("hears a leak of listeners", async () => {
    using watch = new ProcessWatch();
    process.emitWarning("too many", "MaxListenersExceededWarning");
    process.emitWarning("harmless", "ExperimentalWarning");
    await new Promise((resolve) => setImmediate(resolve));
    expect(watch.complaints).toEqual(["MaxListenersExceededWarning: too many"]);
  });
});

describe("I12, the fault really happened", () => {
  it.each([{ kills: 1 }, { redeliveries: 1 }, { unknown: 1 }, { reconnects: 1 }])(
    "calls a run without %j invalid",
    (least) => {
      expect(faultHappened(good("a"), least)).toMatchObject([
        { invariant: "I12", message: expect.stringContaining("invalid") },
      ]);
    },
  );
  it("takes a run with enough of it", () => {
    const history = [record("handling", "a"), record("killed", ""), record("handling", "a")];
    expect(faultHappened(history, { kills: 1, redeliveries: 1 })).toEqual([]);
  });
  it("knows what was in flight in a process that was killed", () => {
    const history = [
      record("handling", "a"),
      record("handled", "a"),
      record("handling", "b"),
      record("handling", "c", { process: "p2" }),
      record("killed", ""),
      record("handling", "d"),
    ];
    expect([...inFlightAtKill(history, "p1")]).toEqual(["b"]);
  });
});

describe("the summary", () => {
  it("counts what a report prints", () => {
    const history = [
      ...good("a", "b"),
      record("handled", "a", { group: "g" }),
      record("publish-unknown", "c"),
      record("handled", "c", { group: "g" }),
    ];
    expect(summary(history)).toMatchObject({
      attempted: 2,
      acked: 2,
      unknown: 1,
      handled: 3,
      duplicates: 1,
      recovered: 1,
    });
  });
});
