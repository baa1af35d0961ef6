import { describe, expect, it } from "vitest";
import { DirectFold, type Seat } from "./direct-fold.ts";

const seat = (id: string, group: string | undefined, patterns: readonly string[] = [">"]): Seat => ({
  ...{ id, group, patterns, answers: ["ask.*"] },
});

describe("who a direct message is for", () => {
  it("is each without a group whose pattern matches, and of each group one in turn", () => {
    const fold = new DirectFold(100);
    fold.here("p", [seat("1", undefined), seat("2", "g"), seat("3", undefined, ["other"])], 0);
    fold.here("q", [seat("4", "g"), seat("5", "h")], 0);
    expect(fold.chosen("topic", false, 0, 50)).toEqual(["1", "2", "5"]);
    expect(fold.chosen("topic", false, 1, 50)).toEqual(["1", "4", "5"]);
    expect(fold.chosen("topic", true, 1, 50)).toEqual([]);
    expect(fold.chosen("ask.this", true, 1, 50)).toEqual(["1", "3", "4", "5"]);
  });

  it("is nobody who was not heard of for a lease by the broker's clock, who left, or who listens to something else now", () => {
    const fold = new DirectFold(100);
    fold.here("p", [seat("1", undefined)], 0);
    fold.here("q", [seat("2", undefined)], 60);
    expect(fold.chosen("t", false, 0, 100)).toEqual(["1", "2"]);
    expect(fold.chosen("t", false, 0, 101)).toEqual(["2"]);
    fold.here("q", [seat("2", undefined, ["x"])], 110);
    expect(fold.chosen("t", false, 0, 120)).toEqual([]);
    fold.here("q", [], 130);
    expect(fold.chosen("x", false, 0, 140)).toEqual([]);
  });
});
