import { expect, it } from "vitest";
import { DueList } from "./due-list.ts";

it("lets go what was due, also when nobody asks", () => {
  const list = new DueList();
  for (let now = 0; now < 10_000; now += 1) list.add({ due: now + 50 }, now);
  expect(list.size).toBeLessThan(300);
  expect(list.after(10_000).map(({ due }) => due)).toEqual(Array.from({ length: 49 }, (_, index) => 10_001 + index));
});
