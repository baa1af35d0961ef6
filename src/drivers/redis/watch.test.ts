import { describe, expect, it } from "vitest";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import type { Link, Reply } from "./link.ts";
import { resolveOptions } from "./options.ts";
import { Watch } from "./watch.ts";

const options = resolveOptions({ leaseMs: 60_000, socketTimeoutMs: 1_000 });

function watched(): { readonly clock: ManualClock; readonly answer: () => void; readonly losses: readonly unknown[] } {
  const clock = new ManualClock();
  const losses: unknown[] = [];
  let answer: (() => void) | undefined;
  const link: Link = {
    command: () => new Promise<Reply>((resolve) => (answer = (): void => resolve(null))),
    subscribe: () => Promise.resolve(),
    close: () => Promise.resolve(),
    destroy: () => undefined,
  };
  const watch = new Watch(
    clock,
    options,
    () => [link],
    (error) => losses.push(error),
  );
  watch.start();
  clock.advance(2_000); // it asks
  return { clock, answer: () => answer?.(), losses };
}

describe("the watch over connections", () => {
  it("takes one that does not answer in time for lost", () => {
    const { clock, losses } = watched();
    clock.advance(999);
    expect(losses).toEqual([]);
    clock.advance(100);
    expect(losses).toEqual([expect.objectContaining({ code: "BUS_TIMEOUT", retryable: true })]);
  });

  it("reads what came while this process stood still before it judges", async () => {
    const { clock, answer, losses } = watched();
    clock.advance(1_000); // all at once, as timers come after a standstill
    answer();
    await Promise.resolve();
    await Promise.resolve();
    clock.advance(100);
    expect(losses).toEqual([]);
  });
});
