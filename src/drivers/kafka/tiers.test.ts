import { expect, it } from "vitest";
import { tierFor, tierMs } from "./tiers.ts";

it("takes every delay to its time, never beyond, in few hops", () => {
  for (let restMs = 1; restMs < 200 * 86_400_000; restMs = Math.ceil(restMs * 1.07)) {
    let left = restMs;
    let hops = 0;
    for (let tier = tierFor(left); tier > 0; tier = tierFor(left)) {
      left -= tierMs[tier] ?? 0;
      hops += 1;
    }
    expect(left).toBeGreaterThanOrEqual(0);
    expect(left).toBeLessThan(tierMs[1] ?? 0); // the first tier holds it until it is due
    const beyondTheLongest = Math.floor(restMs / (tierMs.at(-1) ?? 1));
    expect(hops).toBeLessThanOrEqual(beyondTheLongest + 3 * (tierMs.length - 2));
  }
});

it("keeps what is due at once, or was, in the first", () => {
  expect([-5, 0, 7_999, 8_000, 31_999, 32_000].map(tierFor)).toEqual([0, 0, 0, 1, 1, 2]);
});
