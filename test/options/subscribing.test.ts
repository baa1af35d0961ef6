import { describe, expect, it } from "vitest";
import { silence, until, within } from "../../src/testing/until.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { connect, type Positions, type SubscribeOptions } from "../../src/index.ts";
import { atOnce, fresh, gate, Keyed, onMemory, Seen, Tick, Tock } from "../support/events.ts";

const never = (): Promise<void> => new Promise(() => undefined);

describe("the options of a subscription", () => {
  it("option: SubscribeOptions.group shares the events among its members; false takes a copy of one's own", async () => {
    const driver = memory();
    await using one = await connect({ driver, group: "default" });
    await using two = await connect({ driver });
    const [left, right, tail] = [new Seen(), new Seen(), new Seen()];
    await one.subscribe(Tick, left.handle, { group: "g", order: "none" });
    await two.subscribe(Tick, right.handle, { group: "g", order: "none" });
    const alone = await one.subscribe(Tick, tail.handle, { group: false });
    for (let n = 0; n < 20; n += 1) await one.publish(Tick, { n });
    await until(() => left.count + right.count >= 20 && tail.count >= 20, "all of them");
    expect([left.count + right.count, tail.count, alone.group]).toEqual([20, 20, undefined]);
  });

  it("option: SubscribeOptions.name is the handler's in letters", async () => {
    await using bus = await onMemory({ retry: { maxAttempts: 1 } });
    await bus.subscribe(Tick, () => Promise.reject(new Error("no")), { group: "g", name: "ship-it" });
    await bus.publish(Tick, { n: 1 });
    await until(async () => (await bus.deadLetters.count()) === 1, "the letter");
    expect((await bus.deadLetters.list()).items[0]!.handlers).toEqual(["ship-it"]);
  });

  it("option: SubscribeOptions.live stores nothing for a group without members", async () => {
    const driver = memory();
    await using bus = await connect({ driver });
    const [live, durable] = [new Seen(), new Seen()];
    const first = await bus.subscribe(Tick, live.handle, { group: "live", live: true });
    const other = await bus.subscribe(Tick, durable.handle, { group: "durable" });
    await bus.publish(Tick, { n: 1 });
    await until(() => live.count === 1 && durable.count === 1, "the first");
    await first.unsubscribe();
    await other.unsubscribe();
    await bus.publish(Tick, { n: 2 });
    await bus.subscribe(Tick, live.handle, { group: "live", live: true });
    await bus.subscribe(Tick, durable.handle, { group: "durable" });
    await bus.publish(Tick, { n: 3 });
    await until(() => live.count >= 2 && durable.count >= 3, "the last");
    expect([live.numbers, durable.numbers.toSorted()]).toEqual([
      [1, 3],
      [1, 2, 3],
    ]);
  });

  it("option: SubscribeOptions.from is where a new group starts", async () => {
    await using bus = await onMemory({ streams: [{ name: "events", topics: [">"], partitions: 1 }] });
    const start = async (from: SubscribeOptions["from"]): Promise<readonly number[]> => {
      const seen = new Seen();
      await bus.subscribe(Tick, seen.handle, { group: fresh("g"), from });
      const { length } = published;
      published.push(length + 1);
      await bus.publish(Tick, { n: length + 1 });
      await until(() => seen.numbers.includes(length + 1), "the new one");
      return seen.numbers;
    };
    const published: number[] = [1];
    await bus.publish(Tick, { n: 1 });
    const positions: Positions = await bus.streams.positions("events");
    await new Promise((resolve) => setTimeout(resolve, 3)); // the wall clock has to move on
    const time = new Date();
    expect(await start("newest")).toEqual([2]);
    expect(await start(time)).toEqual([2, 3]);
    expect(await start({ positions })).toEqual([2, 3, 4]);
    expect(await start("oldest")).toEqual([1, 2, 3, 4, 5]);
    expect(await start(undefined)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it("option: SubscribeOptions.concurrency runs no more handlers at once", async () => {
    const most = async (concurrency: number | undefined): Promise<number> => {
      await using bus = await onMemory();
      const open = gate();
      let running = 0;
      await bus.subscribe(
        Tick,
        async () => {
          running += 1;
          await open.opened;
        },
        { group: "g", concurrency },
      );
      await bus.publishMany(Array.from({ length: 40 }, (_each, n) => Tick.of({ n })));
      await until(() => running >= (concurrency ?? 16), "as many as may");
      await silence(() => running, "running above the bound", 20);
      const seen = running;
      open.open();
      return seen;
    };
    expect([await most(3), await most(undefined)]).toEqual([3, 16]);
  });

  it("option: SubscribeOptions.order keeps one event of a key at a time, or does not", async () => {
    const together = async (order: SubscribeOptions["order"]): Promise<number> => {
      await using bus = await onMemory();
      const open = gate();
      let running = 0;
      await bus.subscribe(
        Keyed,
        async () => {
          running += 1;
          await open.opened;
        },
        { group: "g", order },
      );
      await bus.publishMany([1, 2, 3].map((n) => Keyed.of({ of: "a", n })));
      await until(() => running > 0, "the first");
      await silence(() => (order === "none" ? 0 : running), "running at once", 20);
      if (order === "none") await until(() => running === 3, "all at once");
      const seen = running;
      open.open();
      await until(() => running === 3, "the rest");
      return seen;
    };
    expect([
      await together("group"),
      await together("process"),
      await together(undefined),
      await together("none"),
    ]).toEqual([1, 1, 1, 3]);
  });

  it("option: SubscribeOptions.retry goes over the bus's", async () => {
    await using bus = await onMemory({ retry: { maxAttempts: 9, ...atOnce } });
    let runs = 0;
    await bus.subscribe(Tick, () => Promise.reject(new Error(`run ${(runs += 1)}`)), {
      group: "g",
      retry: { maxAttempts: 2 },
    });
    await bus.publish(Tick, { n: 1 });
    await until(async () => (await bus.deadLetters.count()) === 1, "the letter");
    expect(runs).toBe(2);
  });

  it("option: SubscribeOptions.timeoutMs aborts the handler, and the attempt has failed", async () => {
    await using bus = await onMemory({ retry: { maxAttempts: 1 } });
    let reason: unknown;
    await bus.subscribe(
      Tick,
      (_event, { signal }) =>
        new Promise<void>((resolve) =>
          signal.addEventListener("abort", () => {
            reason = signal.reason;
            resolve();
          }),
        ),
      { group: "g", timeoutMs: 50 },
    );
    await bus.publish(Tick, { n: 1 });
    await within(
      until(async () => (await bus.deadLetters.count()) === 1, "the letter"),
      "the letter",
      2_000,
    );
    expect(reason).toMatchObject({ code: "BUS_TIMEOUT" });
    expect((await bus.deadLetters.list()).items[0]!.reason.code).toBe("BUS_TIMEOUT");
  });

  it("option: SubscribeOptions.runAhead bounds how far a partition gets ahead of its oldest unhandled message", async () => {
    const farthest = async (runAhead: number | undefined): Promise<number> => {
      await using bus = await onMemory({ streams: [{ name: "events", topics: [">"], partitions: 1 }] });
      const seen = new Seen();
      const open = gate();
      await bus.subscribe(Tick, async (event) => (event.data.n === 0 ? open.opened : seen.handle(event)), {
        group: "g",
        order: "none",
        runAhead,
      });
      await bus.publishMany(Array.from({ length: 200 }, (_each, n) => Tick.of({ n })));
      if (runAhead === undefined) await until(() => seen.count === 199, "all but the first");
      else await until(() => seen.count >= runAhead - 1, "up to the bound");
      await silence(() => seen.count, "handled above the bound", 20);
      const count = seen.count;
      open.open();
      await until(() => seen.count === 199, "the rest");
      return count;
    };
    const bounded = await farthest(30);
    expect(bounded).toBeGreaterThanOrEqual(29);
    expect(bounded).toBeLessThanOrEqual(31);
    expect(await farthest(undefined)).toBe(199);
  });

  it("option: SubscribeOptions.handOnMs is how long an event that nobody takes is handed on", async () => {
    await using bus = await onMemory();
    await bus
      .subscribe([Tick, Tock], () => undefined, { group: "g" })
      .then((subscription) => subscription.unsubscribe());
    await bus.subscribe(Tick, () => undefined, { group: "g", handOnMs: 250 });
    const from = performance.now();
    await bus.publish(Tock, { n: 1 });
    await until(async () => (await bus.deadLetters.count()) === 1, "the letter");
    expect(performance.now() - from).toBeGreaterThanOrEqual(245);
    expect((await bus.deadLetters.list()).items[0]!.reason.code).toBe("BUS_NO_HANDLER");
  });

  it("option: SubscribeOptions.bufferSize drops the oldest of a slow subscriber without a group, and says so", async () => {
    await using bus = await onMemory();
    const lost: (number | undefined)[] = [];
    bus.onStatus((status) => {
      if (status.type === "messages-lost") lost.push(status.count);
    });
    const seen = new Seen();
    const open = gate();
    await bus.subscribe(Tick, (event) => (seen.handle(event), open.opened), {
      concurrency: 1,
      bufferSize: 5,
      order: "none",
    });
    await bus.publishMany(Array.from({ length: 20 }, (_each, n) => Tick.of({ n })));
    await until(() => lost.length > 0, "the loss");
    open.open();
    await until(() => seen.numbers.at(-1) === 19, "the newest");
    expect(seen.count).toBeLessThanOrEqual(6);
    expect(lost.reduce<number>((sum, count) => sum + (count ?? 0), 0)).toBe(20 - seen.count);
  });

  it("option: SubscribeOptions.signal unsubscribes when it aborts", async () => {
    await using bus = await onMemory();
    const stop = new AbortController();
    const subscription = await bus.subscribe(Tick, () => undefined, { group: "g", signal: stop.signal });
    stop.abort();
    await until(() => subscription.state === "closed" && bus.stats().subscriptions === 0, "the end");
  });

  it("option: Subscription.unsubscribe.timeoutMs bounds the wait for handlers that run", async () => {
    await using bus = await onMemory();
    const seen = new Seen();
    const subscription = await bus.subscribe(Tick, (event) => (seen.handle(event), never()), { group: "g" });
    await bus.publish(Tick, { n: 1 });
    await until(() => seen.count === 1, "the handler");
    expect(await within(subscription.unsubscribe({ timeoutMs: 50 }), "the end", 2_000)).toBe(true);
    await bus.close({ timeoutMs: 50 });
  });
});
