import { describe, expect, it } from "vitest";
import { connect, type Bus } from "../../src/index.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { upTo } from "../../src/testing/runs.ts";
import { until } from "../../src/testing/until.ts";
import { fresh, gate, Keyed, onMemory, Seen, Tick, Tock, type KeyedCount } from "../support/events.ts";

const six = [0, 1, 2, 3, 4, 5];
const ofOneKey = (bus: Bus, numbers: readonly number[]): Promise<unknown> =>
  bus.publishMany(numbers.map((n) => Keyed.of({ of: "k", n })));

describe("a key that is busy for long", () => {
  it("does not stop the others, and not more than a thousand are fetched behind it", async () => {
    await using bus = await onMemory();
    const open = gate();
    const seen = new Seen();
    await bus.subscribe(Keyed, (event) => (seen.handle(event), event.data.of === "k" ? open.opened : undefined), {
      group: "g",
      concurrency: 2,
    });
    await ofOneKey(bus, upTo(500));
    await bus.publish(Keyed, { of: "other", n: 500 });
    await until(() => seen.count === 2, "the first of each key");
    await ofOneKey(bus, upTo(2_000));
    await until(() => bus.stats().delivered >= 1_001, "those behind it");
    expect((await bus.groups.info("g")).inFlight).toBeLessThanOrEqual(1_000 + 4);
    expect(seen.numbers).toEqual([0, 500]);
    open.open();
    await until(() => seen.count === 2_501, "all of them");
  });

  it("and fails lets the others run on, up to the bound", async () => {
    await using bus = await onMemory({ retry: { backoff: () => 60_000 } });
    const seen = new Seen();
    await bus.subscribe(
      Keyed,
      (event) => (event.data.of === "k" ? Promise.reject(new Error("later")) : seen.handle(event)),
      { group: "g", concurrency: 2 },
    );
    await ofOneKey(bus, upTo(3_000));
    await bus.publish(Keyed, { of: "other", n: 1 });
    await until(() => seen.count === 1, "the other key's");
  });
});

describe("a handler that is paused", () => {
  it("does not stop the others of its group, however much waits behind its keys", async () => {
    await using bus = await onMemory();
    const [paused, other] = [new Seen(), new Seen()];
    const options = { group: "g", concurrency: 2 } as const;
    const subscription = await bus.subscribe(Keyed, paused.handle, options);
    await bus.subscribe(Tick, other.handle, options);
    await subscription.pause();
    await bus.publishMany(upTo(1_200).map((n) => Keyed.of({ of: `k${n % 6}`, n })));
    await bus.publishMany(upTo(100).map((n) => Tick.of({ n })));
    await until(() => other.count === 100, "the other's");
    await subscription.resume();
    await until(() => paused.count === 1_200, "its own");
  });
});

describe("the run-ahead bound", () => {
  it("reached and passed while the subscription is paused does not stop its partition for ever", async () => {
    await using bus = await onMemory();
    const open = gate();
    const seen = new Seen();
    const subscription = await bus.subscribe(
      Keyed,
      (event) => (seen.handle(event), event.data.n === 0 ? open.opened : undefined),
      { group: "g", runAhead: 1, concurrency: 4 },
    );
    await ofOneKey(bus, [0, 1, 2]);
    await until(() => bus.stats().delivered === 3, "one held back");
    await ofOneKey(bus, [3, 4, 5]);
    await subscription.pause();
    open.open();
    await until(() => bus.stats().handled === 1, "the first");
    await subscription.resume();
    await until(
      () => seen.count === 6,
      () => `all six: ${seen.numbers.join()}`,
      5_000,
    );
    await ofOneKey(bus, [6, 7, 8]);
    await until(
      () => seen.count === 9,
      () => `three more: ${seen.numbers.join()}`,
      5_000,
    );
    expect(seen.numbers).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });

  for (const runAhead of [1, 3, 10_000]) {
    it(`of ${runAhead} and the order of a key hold through messages that are taken back one by one`, async () => {
      const name = fresh("store");
      await using bus = await connect({ driver: memory({ name }) });
      await using operator = await connect({ driver: memory({ name }) });
      const reasons: unknown[] = [];
      const ran: number[] = [];
      let running = 0;
      let most = 0;
      await bus.subscribe(
        Keyed,
        async ({ data }, { signal }) => {
          most = Math.max(most, (running += 1));
          if (data.n === 0 && reasons.length === 0) {
            await new Promise((resolve) => signal.addEventListener("abort", resolve));
            reasons.push(signal.reason);
          } else ran.push(data.n);
          running -= 1;
        },
        { group: "g", runAhead, concurrency: 4 },
      );
      await ofOneKey(bus, six);
      await until(() => running === 1 && bus.stats().delivered >= Math.min(runAhead + 2, 6), "what is held back");
      const { redelivered } = await operator.groups.recover("g", { idleMs: 0 });
      expect(redelivered).toBeGreaterThan(1);
      await until(
        () => ran.length >= 6,
        () => `all six: ${ran.join()}`,
        5_000,
      );
      expect([ran, most]).toEqual([six, 1]);
      expect(reasons).toMatchObject([{ code: "BUS_LEASE_LOST" }]);
      await ofOneKey(bus, [6, 7]);
      await until(() => ran.length === 8, "two more", 5_000);
      await until(async () => (await operator.groups.info("g")).inFlight === 0, "that nothing is in flight");
    });
  }
});

describe("partitions that wait for a retry and change hands", () => {
  it("go on where they are then, in order, and go on after they came back", async () => {
    const name = fresh("store");
    await using first = await connect({ driver: memory({ name }) });
    const keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
    const ran = new Map(keys.map((key): [string, number[]] => [key, []]));
    let failed = 0;
    const handle = ({ data }: { readonly data: KeyedCount }, { attempt }: { readonly attempt: number }): void => {
      if (data.n === 0 && attempt === 1) {
        failed += 1;
        throw new Error("not yet");
      }
      ran.get(data.of)!.push(data.n);
    };
    const publish = (numbers: readonly number[]): Promise<unknown> =>
      first.publishMany(numbers.flatMap((n) => keys.map((of) => Keyed.of({ of, n }))));
    const all = (count: number) => (): boolean => [...ran.values()].every(({ length }) => length >= count);
    const options = { group: "g", runAhead: 1, retry: { backoff: () => 400 } } as const;
    await first.subscribe(Keyed, handle, options);
    await publish([0, 1, 2, 3]);
    await until(() => failed === keys.length, "the first failures");
    const second = await connect({ driver: memory({ name }) });
    await second.subscribe(Keyed, handle, options);
    await until(all(4), () => JSON.stringify([...ran]), 5_000);
    expect(second.stats().handled).toBeGreaterThan(0);
    await second.close();
    await publish([4, 5, 6]);
    await until(all(7), () => JSON.stringify([...ran]), 5_000);
    for (const numbers of ran.values()) expect(numbers).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });
});

describe("pausing one of two handlers of a group", () => {
  it("does not stall the other", async () => {
    await using bus = await onMemory();
    const [ticks, tocks] = [new Seen(), new Seen()];
    const options = { group: "g", concurrency: 2 } as const;
    const paused = await bus.subscribe(Tick, ticks.handle, options);
    await bus.subscribe(Tock, tocks.handle, options);
    await paused.pause();
    const ten = Array.from({ length: 10 }, (_each, n) => n);
    await bus.publishMany(ten.map((n) => Tick.of({ n }, { key: `tick${n}` })));
    await bus.publishMany(ten.map((n) => Tock.of({ n }, { key: `tock${n}` })));
    await until(
      () => tocks.count === 10,
      () => `the other: ${tocks.count} of 10`,
      2_000,
    );
    expect(ticks.count).toBe(0);
    await paused.resume();
    await until(() => ticks.count === 10, "those that waited", 5_000);
  });
});
