import { describe, expect, it } from "vitest";
import { chosen } from "./dead-letter-filters.ts";

describe("which dead letters are meant", () => {
  it("is an id, a filter or all", () => {
    expect(chosen("a", {})).toBe("a");
    expect(chosen(undefined, { group: "g", limit: 5 })).toMatchObject({ group: "g", limit: 5 });
    expect(chosen(undefined, { all: true, limit: 5 })).toMatchObject({ limit: 5 });
  });

  it.each([
    ["nothing", undefined, {}, "Give an id, a filter such as --group, or --all"],
    ["a limit alone", undefined, { limit: 5 }, "Give an id"],
    ["an empty id", " ", {}, "the id is empty"],
    ["an id and a filter", "a", { group: "g" }, "leave the other options out"],
    ["an id and all", "a", { all: true }, "leave the other options out"],
    ["all and a filter", undefined, { all: true, group: "g" }, "leave the filters or --all out"],
  ])("is not said by %s", (_name, id, flags, sentence) => {
    expect(() => chosen(id, flags)).toThrow(sentence);
  });
});
