import { describe, expect, it } from "vitest";
import type { Bus } from "../../src/index.ts";
import { upTo } from "../../src/testing/runs.ts";
import { until } from "../../src/testing/until.ts";
import { gate, Keyed, onFaulty, Tick } from "../support/events.ts";
import { FaultyDriver } from "../support/faulty-driver.ts";

const soon = { reconnect: { minMs: 1, maxMs: 5 } } as const;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
/** Longer than anybody may look at nothing: timers and sockets wait as they do when the process is stopped. */
const standStill = (): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);

type Story = (number | "ended")[];

/** Of a driver from which others could take what is here. */
async function world(): Promise<{
  readonly bus: Bus;
  readonly story: Story;
  readonly stopped: (dueMs?: number) => void;
}> {
  const { bus, driver } = await onFaulty(soon, new FaultyDriver(undefined, { durable: true }));
  const story: Story = [];
  const stopped = (dueMs = 1): void => {
    // as a lease that runs out meanwhile
    setTimeout(() => {
      story.push("ended");
      void driver.last("group").end();
    }, dueMs);
    standStill();
  };
  return { bus, story, stopped };
}

describe("a process that stood still begins nothing of what it may have lost", () => {
  it("behind the first of its key", async () => {
    const { bus, story, stopped } = await world();
    await using _ = bus;
    const open = gate();
    await bus.subscribe(Keyed, (event) => (story.push(event.data.n), open.opened), { group: "g", concurrency: 2 });
    await bus.publishMany([0, 1].map((n) => Keyed.of({ of: "k", n })));
    await until(() => story.length === 1 && bus.stats().delivered === 2, "the second behind the first of its key");
    await turn(); // timers come behind what is read and what ends now
    stopped();
    open.open();
    await until(() => story.includes(1), "the second, from the next opening");
    expect(story.slice(0, 2)).toEqual([0, "ended"]);
  });

  it("behind a handler in which it stood still", async () => {
    const { bus, story, stopped } = await world();
    await using _ = bus;
    let first = true;
    await bus.subscribe(
      Tick,
      ({ data }) => {
        story.push(data.n);
        if (first) stopped();
        first = false;
      },
      { group: "g", order: "none", concurrency: 8 },
    );
    await bus.publishMany(upTo(6).map((n) => Tick.of({ n })));
    await until(() => new Set(story).size === 7, "all, from the next opening");
    expect(story.slice(0, 2)).toEqual([0, "ended"]);
  });

  it("and no group waits for another one whose handlers keep the loop busy", async () => {
    const { bus, story } = await world();
    await using _ = bus;
    const slow = { group: "slow", order: "none", concurrency: 2 } as const;
    await bus.subscribe(Tick, () => (story.push(0), standStill()), slow);
    await bus.subscribe(Tick, () => void story.push(1), { group: "other", order: "none" });
    await bus.publishMany(upTo(5).map((n) => Tick.of({ n })));
    await until(() => story.length === 10, "all of both");
    expect(story.indexOf(1)).toBeLessThan(3);
  });

  it("in a batch that was to be full or old", async () => {
    const { bus, story, stopped } = await world();
    await using _ = bus;
    await bus.subscribeBatch(Tick, async (events) => void story.push(...events.map(({ data }) => data.n)), {
      ...{ group: "g", order: "none", maxSize: 100, maxAgeMs: 100 },
    });
    await bus.publish(Tick, { n: 0 });
    await until(() => bus.stats().delivered === 1, "one that waits for others");
    await turn();
    stopped(250); // behind the timer of the batch
    await until(() => story.includes(0), "it, from the next opening");
    expect(story[0]).toBe("ended");
  });
});
