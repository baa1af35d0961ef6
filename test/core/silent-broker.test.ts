import { describe, expect, it } from "vitest";
import { connect, defineRequest, typed } from "../../src/index.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { silence, until, within } from "../../src/testing/until.ts";
import { onFaulty, Seen, Tick, Tock } from "../support/events.ts";
import { FaultyDriver } from "../support/faulty-driver.ts";
import { tapped } from "../support/tapped-driver.ts";

const Double = defineRequest("double", { request: typed<number>(), response: typed<number>() });

describe("what ends while the broker answers nothing", () => {
  it.each(["unsubscribe", "close"] as const)(
    "starts no handler of a subscriber without a group once it has ended: %s",
    async (how) => {
      const { bus, driver } = await onFaulty();
      await using _ = bus;
      let started = 0;
      const subscription = await bus.subscribe(
        Tick,
        () => {
          started += 1;
          return new Promise((resolve) => setTimeout(resolve, 20));
        },
        { concurrency: 1 },
      );
      await bus.subscribe(Tock, () => undefined); // so that the consumptions stay
      for (let n = 0; n < 10; n += 1) await bus.publish(Tick, { n });
      await until(() => started > 0 && bus.stats().delivered === 10, "one that runs, and others behind it");
      driver.mute.add("wants");
      const before = started;
      if (how === "unsubscribe") await within(subscription.unsubscribe({ timeoutMs: 30 }), "the end", 2_000);
      else await within(bus.close({ timeoutMs: 30 }), "the end", 2_000);
      await silence(() => started, "started afterwards", 60);
      expect(started).toBe(before);
      driver.mute.clear();
    },
  );

  it("keeps to the limit of its end, and takes nothing meanwhile: the last handler of a group", async () => {
    const { bus, driver } = await onFaulty();
    await using _ = bus;
    await bus.respond(Double, (n) => n * 2, { group: "g" });
    const seen = new Seen();
    const subscription = await bus.subscribe(Tick, seen.handle, { group: "g" });
    driver.mute.add("wants");
    const ended = within(subscription.unsubscribe({ timeoutMs: 100 }), "the end", 3_000);
    await bus.publish(Tick, { n: 1 });
    await bus.publish(Tick, { n: 2 }, { delivery: "at-most-once" });
    expect(await ended).toBe(true);
    expect(seen.count).toBe(0);
    driver.mute.clear();
  });

  it("keeps to the limit of its end: one handler of several, and a responder", async () => {
    const { bus, driver } = await onFaulty();
    await using _ = bus;
    const seen = new Seen();
    await bus.subscribe(Tick, seen.handle, { group: "g" });
    const leaving = [
      await bus.subscribe(Tock, () => undefined, { group: "g" }),
      await bus.respond(Double, (n) => n * 2, { group: "g" }),
    ];
    driver.mute.add("wants");
    for (const each of leaving) expect(await within(each.unsubscribe({ timeoutMs: 50 }), "the end", 3_000)).toBe(true);
    await bus.publish(Tick, { n: 1 });
    await until(() => seen.count === 1, "the one that stays");
    driver.mute.clear();
  });

  it("is handed back by force when even what it settled gets no answer", async () => {
    let isForced = false;
    const driver = tapped(
      {
        consumption: (consumption, source) => ({
          flush: () => new Promise(() => undefined),
          close: (signal) => {
            isForced ||= source.kind === "group" && signal.aborted;
            return consumption.close(signal);
          },
        }),
      },
      new FaultyDriver(memory()),
    );
    const bus = await connect({ driver });
    await bus.subscribe(Tick, () => undefined, { group: "g" });
    await within(bus.close({ timeoutMs: 30 }), "closing", 3_000);
    await until(() => isForced, "the consumption's end, by force", 1_000);
    expect(bus.state).toBe("closed");
  });
});
