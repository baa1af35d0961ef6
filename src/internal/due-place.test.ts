import { describe, expect, it } from "vitest";
import { duePlaceOf, duePlaceText, numberedPlaceOf } from "./due-place.ts";

describe("the place in a list by due time", () => {
  it("is read as it was written", () => {
    for (const place of [
      { due: 0, rest: "1" },
      { due: 1_718_000_000_123.5, rest: "a/b\n2/" },
    ])
      expect(duePlaceOf(duePlaceText(place))).toEqual(place);
    expect(numberedPlaceOf(duePlaceText({ due: 7, rest: 12 }))).toEqual({ due: 7, number: 12 });
    expect(numberedPlaceOf(undefined).due).toBeLessThan(0);
  });

  it.each(["", "7", "7/", "x/1", "-1/1", "1e3/1", `${"9".repeat(17)}/1`])("is refused when it is none: %s", (text) => {
    expect(() => duePlaceOf(text)).toThrow(expect.objectContaining({ code: "BUS_INVALID_OPTION" }));
  });

  it("is refused when its number is none", () => {
    for (const text of ["7/a", "7/1.5", "7/-1", `7/${"1".repeat(16)}`])
      expect(() => numberedPlaceOf(text)).toThrow(expect.objectContaining({ code: "BUS_INVALID_OPTION" }));
  });
});
