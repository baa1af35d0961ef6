import { describe, expect, it } from "vitest";
import type { HistoryRecord } from "../../src/testing/index.ts";
import { ordered, tail, unordered } from "./events.ts";
import { growth, type Sample } from "./growth.ts";
import { Ledger } from "./ledger.ts";
import { soak } from "./soak.ts";

describe("the soak", () => {
  it.each(["memory", "sqlite"] as const)("runs for some seconds on %s", { timeout: 180_000 }, async (driver) => {
    const { violations, figures } = await soak({ driver, seconds: 6, rate: 300 });
    console.info(figures);
    expect(violations).toEqual([]);
  });
});

const mebibyte = 2 ** 20;
const still: Sample = {
  rssBytes: 100 * mebibyte,
  heldBytes: 30 * mebibyte,
  handles: 10,
  files: 20,
  listeners: 5,
  fileBytes: 10 * mebibyte,
  p50Ms: 10,
  p99Ms: 30,
  loopMs: 50,
  pendingMs: 10,
  pending: "publish",
  backlog: 3,
  published: 1,
  answers: 1,
};

describe("what a soak holds", () => {
  const run = (of: (second: number) => Partial<Sample>): string[] => {
    const samples = Array.from({ length: 600 }, (_, second) => ({ ...still, ...of(second) }));
    return growth(samples, 600).violations.map(({ message }) => message);
  };

  it("is not complained of while it stays, however it grows while warming up", () => {
    expect(run((second) => ({ rssBytes: Math.min(second, 150) * mebibyte }))).toEqual([]);
  });
  it.each<[string, (second: number) => Partial<Sample>, string]>([
    ["what is held", (second) => ({ heldBytes: (30 + second * 0.04) * mebibyte }), "what is held grew"],
    ["memory", (second) => ({ rssBytes: (100 + second * 0.12) * mebibyte }), "memory grew"],
    ["files", (second) => ({ fileBytes: second * 100_000 }), "the files grew"],
    ["handles of files", (second) => ({ files: 20 + Math.floor(second / 60) }), "files, "],
    ["listeners", (second) => ({ listeners: 5 + Math.floor(second / 60) }), "listeners, "],
    ["latency", (second) => ({ p50Ms: second }), "latency grew"],
    ["an event loop that stands still once", (second) => ({ loopMs: second === 300 ? 6_000 : 50 }), "stood still"],
    ["a promise that stays open", (second) => ({ pendingMs: Math.max(0, second - 500) * 1_000 }), "was not settled"],
  ])("is complained of when it grows: %s", (_, of, message) => {
    expect(run(of)).toEqual([expect.stringContaining(message)]);
  });
});

describe("the ledger of a soak", () => {
  let at = 0;
  const record = (op: HistoryRecord["op"], more: Partial<HistoryRecord> = {}): HistoryRecord => {
    return { at: at++, process: "host", op, id: "a0.1.0", key: "a0.1", sequence: 0, ...more };
  };
  const run = (group: string, more: Partial<HistoryRecord> = {}): HistoryRecord[] => {
    return [record("handling", { group, attempt: 1, ...more }), record("handled", { group, ...more })];
  };
  const published = (): HistoryRecord[] => [record("publish-started"), record("published")];
  const checked = (history: readonly HistoryRecord[]): readonly string[] => {
    const ledger = new Ledger();
    for (const each of history) ledger.add(each);
    ledger.checkAll();
    return ledger.violations;
  };
  const rest = (): HistoryRecord[] => [...run(unordered), record("handled", { group: tail })];

  it("complains of nothing where everything was handled once", () => {
    expect(checked([...published(), ...run(ordered), ...rest()])).toEqual([]);
  });
  it.each<[string, () => HistoryRecord[], string]>([
    ["lost to one group", () => [...published(), ...rest()], "I1"],
    ["handled by nobody's publishing", () => [...run(ordered), ...rest()], "I2"],
    ["handled twice", () => [...published(), ...run(ordered), ...rest(), ...run(unordered)], "I6"],
    ["out of order", () => [...published(), ...run(ordered, { sequence: 1 }), ...rest()], "I7"],
    ["an attempt that was skipped", () => [...published(), ...run(ordered, { attempt: 2 }), ...rest()], "attempts"],
  ])("complains of what was %s", (_, history, what) => {
    expect(checked(history()).join("; ")).toContain(what);
  });
  it("complains of what comes after its chapter was checked", () => {
    const ledger = new Ledger();
    for (const each of [...published(), ...run(ordered), ...rest()]) ledger.add(each);
    ledger.checkAll();
    ledger.add(record("handling", { group: ordered }));
    expect(ledger.violations).toEqual([expect.stringContaining("after its chapter was checked")]);
  });
});
