import { describe, expect, it } from "vitest";
import { connect } from "../../src/index.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { header } from "../../src/wire-names.ts";
import { encodeEvent } from "../../src/wire.ts";
import { until } from "../../src/testing/until.ts";
import { connectTo, outgoing, toTopic } from "../support/driver-harness.ts";
import { atOnce, failureOf, fresh, onMemory, Seen, Tick, Tock } from "../support/events.ts";

describe("pulling from a group and handling it", () => {
  it("exclude each other in one bus, whichever comes first, until the other has ended", async () => {
    await using bus = await onMemory();
    await bus.publish(Tick, { n: 1 });
    const [pulled] = await bus.pull(Tick, { group: "pulled" });
    const conflict = { code: "BUS_CONFLICT", message: expect.stringContaining('"pulled"') as string };
    expect(await failureOf(bus.subscribe(Tick, () => undefined, { group: "pulled" }))).toMatchObject(conflict);
    expect(
      await failureOf(bus.subscribeBatch(Tick, async () => undefined, { group: "pulled", maxSize: 1, maxAgeMs: 1 })),
    ).toMatchObject(conflict);
    expect(await failureOf(bus.events(Tock, { group: "pulled" }))).toMatchObject(conflict);
    await pulled!.ack();
    await bus.subscribe(Tick, () => undefined, { group: "other" });

    const seen = new Seen();
    const handled = await bus.subscribe(Tick, seen.handle, { group: "handled" });
    await until(() => seen.count === 1, "the event");
    expect(await failureOf(bus.pull(Tick, { group: "handled" }))).toMatchObject({ code: "BUS_CONFLICT" });
    expect(await failureOf(bus.pull(Tick, { group: "handled" }))).toMatchObject({ code: "BUS_CONFLICT" });
    await handled.unsubscribe();
    expect(await bus.pull(Tick, { group: "handled", waitMs: 1 })).toEqual([]);
  });

  it("exclude each other when both are asked for at once", async () => {
    await using bus = await onMemory();
    const results = await Promise.allSettled([
      bus.pull(Tick, { group: "g", waitMs: 10 }),
      bus.subscribe(Tick, () => undefined, { group: "g" }),
    ]);
    expect(results.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
    expect(results.find(({ status }) => status === "rejected")).toMatchObject({ reason: { code: "BUS_CONFLICT" } });
  });

  it("lets go of the group a while after the last pull", async () => {
    await using bus = await onMemory();
    await bus.pull(Tick, { group: "g", waitMs: 1 });
    await until(() => bus.stats().subscriptions === 0, "that it has left", 4_000);
    const seen = new Seen();
    await bus.subscribe(Tick, seen.handle, { group: "g" });
    await bus.publish(Tick, { n: 1 });
    await until(() => seen.count === 1, "the event");
  });
});

describe("a history that a publisher forged", () => {
  const forged: readonly (readonly [string, string])[] = [
    [header.handlersDone, "forger"],
    [header.handlersFailed, "forger"],
    [header.handlersOnly, "somebody"],
    [header.hops, "1000000"],
    [header.handedOnSince, "1"],
    [header.firstFailedAt, "86400000"],
    [header.history, '[{"at":86400000,"error":"forged"}]'],
    [header.replays, "77"],
    [header.letterAttempts, "77"],
    [header.reasonCode, "BUS_FORGED"],
  ];
  for (const order of ["none", "group"] as const) {
    it(`on a stream is not believed: not by retries, not by letters (order ${order})`, async () => {
      const name = fresh("store");
      await using bus = await connect({ driver: memory({ name }), retry: { maxAttempts: 3, ...atOnce } });
      const attempts: number[] = [];
      await bus.subscribe(
        Tick,
        (_event, { attempt }) => {
          attempts.push(attempt);
          throw new Error(`own ${attempt}`);
        },
        { group: "g", name: "forger", order },
      );
      const { connection } = await connectTo(memory({ name }));
      const { headers, body } = encodeEvent({ topic: "tick", type: "tick", data: { n: 1 } });
      const text = new TextDecoder().decode(body);
      connection.send([outgoing(toTopic("tick"), text, { headers: [...Object.entries(headers), ...forged] }).message]);
      await until(
        async () => (await bus.deadLetters.count()) === 1,
        () => attempts.join(),
        3_000,
      );
      const [letter] = (await bus.deadLetters.list()).items;
      expect(attempts).toEqual([1, 2, 3]);
      expect(letter).toMatchObject({ attempts: 3, reason: { code: "BUS_HANDLER", message: "own 3" } });
      expect(letter!.history.map(({ error }) => error)).toEqual(["own 1", "own 2", "own 3"]);
      expect(letter!.firstFailedAt.getTime()).toBeGreaterThan(Date.now() - 60_000);
      expect(JSON.stringify(letter)).not.toMatch(/forged|somebody|"?replays"?:\s*77/);
    });

    it(`on a stream hands nothing on at once for good: no handler here, and yet no letter (order ${order})`, async () => {
      const name = fresh("store");
      await using bus = await connect({ driver: memory({ name }) });
      await bus.subscribe([Tick], () => undefined, { group: "g", order });
      const { connection } = await connectTo(memory({ name }));
      const { headers, body } = encodeEvent({ topic: "tick", type: "stranger", data: { n: 1 } });
      const send = outgoing(toTopic("tick"), new TextDecoder().decode(body), {
        headers: [...Object.entries(headers), [header.hops, "1000000"], [header.handedOnSince, "1"]],
      });
      connection.send([send.message]);
      await until(async () => (await bus.groups.info("g")).waiting + (await bus.groups.info("g")).inFlight === 1, "it");
      await bus.publish(Tick, { n: 1 }, { key: "k" });
      await until(() => bus.stats().handled === 1, "the next");
      expect(await bus.deadLetters.count()).toBe(0);
    });
  }
});
