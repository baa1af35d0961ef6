import { describe, expect, it } from "vitest";
import { Floors } from "./floors.ts";

describe("floors", () => {
  it("are just below the lowest that is pending, or at the highest that was handed to us", () => {
    const floors = new Floors();
    floors.reached("s:a:0", "5-1");
    expect(floors.answered("s:a:0", "5-1")).toBe("5-0");
    floors.reached("s:a:0", "7-0");
    expect(floors.answered("s:a:0", "7-0")).toBe("6-18446744073709551615");
    expect(floors.answered("s:a:0", "")).toBe("7-0");
  });

  it("are said when they move, and never go back", () => {
    const floors = new Floors();
    floors.reached("s:a:0", "7-0");
    expect(floors.answered("s:a:0", "")).toBe("7-0");
    expect(floors.answered("s:a:0", "")).toBe(undefined);
    expect(floors.answered("s:a:0", "6-3")).toBe(undefined);
    floors.reached("s:a:0", "6-3"); // what came back
    expect(floors.answered("s:a:0", "")).toBe(undefined);
  });

  it("are not known of a partition of which nothing came", () => {
    expect(new Floors().answered("s:a:0", "")).toBe(undefined);
  });
});
