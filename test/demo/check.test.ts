import { describe, expect, it } from "vitest";
import { check, type Published } from "../../scripts/demo/check.ts";
import type { Entry, Outcome } from "../../scripts/demo/journal.ts";

/** Events 1 to 6; the odd ones are of key a, the even ones of key b. */
const published: Published[] = [1, 2, 3, 4, 5, 6].map((number) => ({
  id: `id-${number}`,
  key: number % 2 ? "a" : "b",
  number,
}));

function entry(number: number, outcome: Outcome = "handled", worker = 1): Entry {
  return { group: "g", worker, outcome, ...published[number - 1]! };
}

const problems = (entries: readonly Entry[]): readonly string[] => check(published, entries).problems;
const all = [1, 2, 3, 4, 5, 6].map((number) => entry(number));

describe("the demo's check", () => {
  it("is content when each event was handled once, in order per key", () => {
    expect(check(published, all)).toEqual({ problems: [], handled: 6, repeated: 0, failed: 0, rejected: 0, keys: 2 });
    expect(problems([2, 4, 6, 1, 3, 5].map((number) => entry(number)))).toEqual([]);
  });

  it("misses an id, though the count is right", () => {
    const entries = [...all.slice(0, 5), entry(5, "handled", 2)];
    expect(entries).toHaveLength(published.length);
    expect(problems(entries)).toEqual(["missing: id-6 (b, number 6) was not handled"]);
  });

  it("sees an event that nobody published, and one that changed on the way", () => {
    expect(problems([...all, { ...entry(1), id: "other" }])[0]).toContain("invented: other");
    expect(problems([...all.slice(1), { ...entry(1), key: "b" }])[0]).toContain("invented: id-1");
  });

  it("sees an event that comes twice in one worker", () => {
    expect(problems([entry(1), ...all])[0]).toContain("twice: a: number 1");
    expect(problems([...all, entry(5)])[0]).toContain("twice: a: number 5");
  });

  it("sees two events of a key swapped", () => {
    expect(problems([3, 1, 5, 2, 4, 6].map((number) => entry(number)))[0]).toContain("order: a: number 1 came after 3");
  });

  it("lets a second worker repeat from an earlier place on", () => {
    const entries = [entry(1), entry(2), entry(3), ...[1, 3, 5, 2, 4, 6].map((number) => entry(number, "handled", 2))];
    expect(check(published, entries)).toMatchObject({ problems: [], repeated: 3 });
  });

  it("sees that a worker left out an event for its successor", () => {
    const entries = [entry(1), entry(5), entry(2), entry(4), entry(6), entry(3, "handled", 2)];
    expect(problems(entries)).toEqual(["order: a: number 3 came in worker 2, after 5 in worker 1"]);
  });

  it("sees a repetition out of order in the second worker", () => {
    const entries = [
      entry(1),
      entry(3),
      entry(5),
      entry(2),
      entry(4),
      entry(6),
      entry(3, "handled", 2),
      entry(1, "handled", 2),
    ];
    expect(problems(entries)[0]).toContain("order: a: number 1 came after 3 in worker 2");
  });

  it("lets a failed event be tried again before the next of its key", () => {
    const entries = [entry(1, "failed"), entry(2), entry(1, "failed"), entry(1), ...all.slice(2)];
    expect(check(published, entries)).toMatchObject({ problems: [], failed: 2 });
  });

  it("sees a failed event overtaken", () => {
    const entries = [entry(1, "failed"), entry(3), entry(1), entry(5), entry(2), entry(4), entry(6)];
    expect(problems(entries)[0]).toContain("order: a: number 3 overtook 1");
  });

  it("lets a dead letter come again by its replay, after those that followed it", () => {
    const entries = [entry(1, "rejected"), ...all.slice(1), entry(1)];
    expect(check(published, entries)).toMatchObject({ problems: [], rejected: 1, handled: 6 });
  });

  it("misses a dead letter that was not replayed, and sees one that was replayed twice", () => {
    const entries = [entry(1, "rejected"), ...all.slice(1)];
    expect(problems(entries)).toEqual(["missing: id-1 (a, number 1) was not handled"]);
    expect(problems([...entries, entry(1), entry(1)])).toEqual(["twice: a: the replay of number 1 was handled twice"]);
  });

  it("sees a dead letter rejected out of its place", () => {
    const entries = [entry(3), entry(1, "rejected"), entry(5), entry(2), entry(4), entry(6), entry(1)];
    expect(problems(entries)[0]).toContain("order: a: number 1 came after 3");
  });
});
