import { describe, expect, it } from "vitest";
import { LetterFold, type LetterRecord } from "./letter-fold.ts";

const letter = (id: string, group = "g"): LetterRecord => ({
  ...{ is: "letter", id, group, key: undefined, to: {}, storedAt: 0, notBefore: undefined },
});

describe("the letters' fold", () => {
  it("keeps one of an id, with its first one's age and its last one's content", () => {
    const fold = new LetterFold();
    fold.apply(letter("a"), 0, 0);
    fold.apply(letter("b"), 1, 0);
    fold.apply(letter("a"), 2, 0);
    expect(fold.list("g", undefined, 9).map(({ id, offset }) => [id, offset])).toEqual([
      ["a", 2],
      ["b", 1],
    ]);
    expect(fold.oldest).toBe(1);
  });

  it("gives a letter to the first who claims it, and to another when that one's time is over or it came again", () => {
    const fold = new LetterFold();
    fold.apply(letter("a"), 0, 0);
    const claim = (token: string, at: number, leaseMs = 100): readonly string[] =>
      fold.apply({ is: "claim", ids: ["a", "none"], token, leaseMs }, at, at);
    expect(claim("one", 10)).toEqual(["a"]);
    expect(claim("two", 50)).toEqual([]);
    expect(claim("one", 60)).toEqual(["a"]);
    expect(claim("two", 161)).toEqual(["a"]);
    expect(fold.apply({ is: "remove", ids: ["a"], token: "one" }, 170, 170)).toEqual([]);
    expect(claim("two", 171, 0)).toEqual(["a"]); // given up
    expect(claim("one", 172)).toEqual(["a"]);
    fold.apply(letter("a"), 173, 173);
    expect(fold.apply({ is: "remove", ids: ["a"], token: "one" }, 174, 174)).toEqual([]); // it is another one
    expect(claim("one", 175)).toEqual(["a"]);
    expect(fold.apply({ is: "remove", ids: ["a"], token: "one" }, 900, 900)).toEqual(["a"]);
    expect(fold.count(undefined)).toBe(0);
  });

  it("goes on behind a letter that went, and forgets a group", () => {
    const fold = new LetterFold();
    for (const [at, id] of ["a", "b", "c"].entries()) fold.apply(letter(id, id === "c" ? "h" : "g"), at, at);
    fold.apply({ is: "claim", ids: ["b"], token: "t", leaseMs: 9 }, 3, 3);
    fold.apply({ is: "remove", ids: ["b"], token: "t" }, 4, 4);
    expect(fold.list(undefined, "b", 9).map(({ id }) => id)).toEqual(["c"]);
    expect(fold.apply({ is: "purge", group: "g" }, 5, 5)).toEqual(["a"]);
    expect([fold.count("g"), fold.count("h"), fold.oldest]).toEqual([0, 1, 2]);
  });
});
