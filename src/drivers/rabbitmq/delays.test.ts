import { expect, it } from "vitest";
import { cutDelay, delaySteps } from "./delays.ts";

const seconds = (bits: string | undefined): number =>
  bits === undefined ? 0 : Number.parseInt(bits.replaceAll(".", ""), 2);

it.each([-5, 0, 1, 250, 999, 1_000, 1_249, 1_250, 1_251, 11_300, 86_400_000, 2 ** 22 * 1_000, 2 ** 40])(
  "%d ms are waited for, and not a millisecond less",
  (delayMs) => {
    const { bits, holdMs } = cutDelay(delayMs);
    expect(seconds(bits) * 1_000 + holdMs).toBe(Math.max(delayMs, 0));
    expect(holdMs).toBeGreaterThanOrEqual(0);
    if (bits !== undefined) expect([bits.split(".").length, holdMs >= 250]).toEqual([delaySteps, true]);
    if (delayMs < 2 ** 22 * 1_000) expect(holdMs).toBeLessThan(1_250);
  },
);

it("takes the queues whose seconds sum up", () => {
  expect(cutDelay(11_300)).toEqual({ bits: "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.1.1", holdMs: 300 });
  expect(cutDelay(1_249)).toEqual({ bits: undefined, holdMs: 1_249 });
});
