import { describe, expect, it } from "vitest";
import { covers, matchesPattern } from "../../internal/topic-trie.ts";
import { isOldest, nextSubjects } from "./direct-subjects.ts";

describe("the subjects of a listener", () => {
  it("are what is wanted, none that another covers", () => {
    expect(nextSubjects([], ["a.b", "a.*", "c.>"])).toEqual(["a.*", "c.>"]);
    expect(nextSubjects(["a.*"], ["a.*", "a.b"])).toEqual(["a.*"]);
    expect(nextSubjects(["a.*", "b"], ["b"])).toEqual(["b"]);
    expect(nextSubjects(["a.*"], [])).toEqual([]);
  });

  it("keep one that is no longer wanted while it serves what is, or a younger one overlaps it", () => {
    expect(nextSubjects(["a.*"], ["a.b"])).toEqual(["a.*"]);
    expect(nextSubjects(["a.b"], ["a.*"])).toEqual(["a.b", "a.*"]);
    expect(nextSubjects(["a.b", "a.*"], ["a.*"])).toEqual(["a.b", "a.*"]);
    expect(nextSubjects(["a.b", "a.*"], ["a.b"])).toEqual(["a.b"]);
    expect(nextSubjects(["a.b", "a.*"], ["c"])).toEqual(["c"]);
  });

  it("count each topic that is wanted once, before and after every change", () => {
    const pool = ["a", "a.*", "a.b", "*.b", "a.b.*", "a.>", "*", ">", "b.*", "*.*.c", "a.*.c"];
    const topics = ["a", "b", "a.b", "b.b", "a.c", "a.b.c", "x.y.c", "a.b.d", "q.r.s.t"];
    let seed = 7;
    const next = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
    let subjects: readonly string[] = [];
    for (let round = 0; round < 2_000; round += 1) {
      const wanted = pool.filter(() => next(3) === 0);
      const before = subjects;
      subjects = nextSubjects(before, wanted);
      expect(subjects.filter((each) => before.includes(each))).toEqual(
        before.filter((each) => subjects.includes(each)),
      );
      for (const topic of topics) {
        const counted = (patterns: readonly string[]): string[] =>
          patterns.filter((pattern, index) => matchesPattern(pattern, topic) && isOldest(patterns, index, topic));
        expect(counted(subjects).length).toBeLessThanOrEqual(1);
        if (wanted.some((pattern) => matchesPattern(pattern, topic))) expect(counted(subjects)).toHaveLength(1);
        // whoever counted before counts still, or nobody does: copies that come meanwhile agree
        const [old] = counted(before);
        if (old !== undefined && counted(subjects).length > 0) expect(counted(subjects)).toEqual([old]);
      }
      expect(wanted.every((pattern) => subjects.some((each) => covers(each, pattern)))).toBe(true);
    }
  });
});
