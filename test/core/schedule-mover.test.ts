import { describe, expect, it } from "vitest";
import type { OutMessage } from "../../src/driver.ts";
import { DriverError } from "../../src/internal/driver-error.ts";
import { changed } from "../../src/testing/changed.ts";
import { groupSpec, outgoing, toQueue, toTopic, turns } from "../support/driver-harness.ts";
import { lacking } from "../support/lacking-driver.ts";
import { type Taps, World } from "../support/schedule-world.ts";

type Step = "stored" | "taken" | "published" | "removed";

/** A process that dies right after one step, before it hears of it. */
function dyingAfter(step: Step): Taps {
  let dead = false;
  const never = new Promise<never>(() => undefined);
  const dies = (at: Step): void => void (dead ||= at === step);
  return {
    broker: (connection) => ({
      send: (batch) => {
        if (dead) return;
        const deaf = { stored: () => undefined, failed: () => undefined };
        connection.send(step === "published" ? batch.map((message) => changed(message, deaf)) : batch);
        dies("published");
      },
    }),
    store: (state) => ({
      schedule: async (messages) => {
        await state.schedule(messages);
        dies("stored");
      },
      due: async (...given) => {
        const taken = dead ? await never : await state.due(...given);
        if (taken.length > 0) dies("taken");
        return dead ? await never : taken;
      },
      scheduled: (...given) => (dead ? never : state.scheduled(...given)),
      unschedule: async (...given) => {
        const gone = dead ? await never : await state.unschedule(...given);
        dies("removed");
        return dead ? await never : gone;
      },
    }),
  };
}

describe("an event that waits in the state store", () => {
  it.each(["stored", "taken", "published", "removed"] as const)(
    "comes once although the process that moves it dies when it is %s",
    async (step) => {
      const world = new World();
      const [dying] = [await world.process(dyingAfter(step))];
      expect((await world.later(dying, "one")).outcome).toBe("stored");
      if (step !== "stored") await world.pass(1_100);
      const other = await world.process();
      const sink = await world.tail(other);
      if (step !== "stored") expect(await other.admin.cancelScheduled!(["one"])).toEqual([]);
      await world.pass(40_000);
      expect(sink.texts).toEqual(["one"]);
      expect(world.sent.map(({ id, brokerId }) => `${id} ${brokerId}`)).toEqual(
        step === "published" ? ["one one", "one one"] : ["one one"],
      );
      expect(await other.state!.due(world.clock.now() + 1e9, 10, 0)).toEqual([]);
    },
  );

  it("is published by whoever takes it next, where its process heard of it when its time with it was over", async () => {
    const world = new World();
    const answer = Promise.withResolvers<void>();
    const late: Taps = {
      store: (state) => ({
        due: async (...given) => {
          const taken = await state.due(...given);
          if (taken.length > 0) await answer.promise;
          return taken;
        },
      }),
    };
    await world.later(await world.process(late), "one");
    await world.pass(1_100);
    const sink = await world.tail(await world.process());
    await world.pass(40_000);
    expect(sink.texts).toEqual(["one"]);
    answer.resolve();
    await world.pass(1_000);
    expect(world.sent).toHaveLength(1);
  });

  it("is not taken by another while it is moved, and is not early", async () => {
    const world = new World();
    const all = [await world.process(), await world.process(), await world.process()];
    const sink = await world.tail(all[0]!);
    for (let n = 0; n < 20; n += 1)
      await world.later(all[n % 3]!, String(n), { key: "k", headers: [["h", String(n)]], priority: n % 3 });
    expect((await all[2]!.admin.scheduled!(undefined, 100)).map(({ id }) => id)).toHaveLength(20);
    await world.pass(990);
    expect(sink.texts).toEqual([]);
    await world.pass(200);
    expect(sink.texts).toHaveLength(20);
    expect(new Set(sink.messages.map(({ key, partition }) => `${key} ${partition}`)).size).toBe(1);
    expect(sink.messages.map((message) => message.headers())).toContainEqual([["h", "7"]]);
    expect(world.sent.map(({ id, priority }) => priority === Number(id) % 3)).not.toContain(false);
    expect(world.sent).toHaveLength(20);
  });

  it("is published again after what failed, before anybody else may take it, and then by whoever takes it", async () => {
    const world = new World();
    let failures = 3;
    const failing: Taps = {
      broker: (connection) => ({
        send: (batch) => {
          if (failures-- <= 0) connection.send(batch);
          else for (const message of batch) message.failed("unknown", new DriverError("BUS_CONNECTION", "away"));
        },
      }),
    };
    const connection = await world.process(failing);
    const sink = await world.tail(connection);
    await world.later(connection, "one");
    await world.pass(3_500);
    expect(sink.texts).toEqual([]);
    await world.pass(1_500);
    expect(sink.texts).toEqual(["one"]);
    expect(world.warnings).toEqual([]);
    failures = 40; // beyond the lease
    await world.later(connection, "two");
    await world.pass(90_000);
    expect(sink.texts).toEqual(["one", "two"]);
    expect(new Set(world.warnings)).toEqual(new Set(["can't publish what is due, and goes on trying"]));
    expect(await connection.admin.scheduled!(undefined, 9)).toEqual([]);
  });

  it("is not taken before there is room for it, however many are due", async () => {
    const world = new World();
    const idle = await world.process({ store: () => ({ due: () => Promise.resolve([]) }) });
    for (let n = 0; n < 2_000; n += 1)
      idle.send([outgoing(toTopic("a"), "x", { id: String(n), notBefore: world.clock.now() + 1_000 }).message]);
    await world.pass(1_100);
    const held: OutMessage[] = [];
    await world.process({ broker: () => ({ send: (batch) => void held.push(...batch) }) });
    await world.pass(1_000);
    expect(held).toHaveLength(1_024);
    for (const message of held.slice(0, 600)) message.stored();
    await world.pass(10); // at once, and no poll
    expect(held).toHaveLength(1_624);
    for (const message of held) message.stored();
    await world.pass(10);
    expect(new Set(held.map(({ id }) => id)).size).toBe(2_000);
    expect(held).toHaveLength(2_000);
  });

  it("is not late when it was stored while the next one was asked for", async () => {
    const world = new World();
    let answer: () => void = () => undefined;
    let slow = false;
    const connection = await world.process({
      store: (state) => ({
        scheduled: async (...given) => {
          const found = await state.scheduled(...given);
          if (slow) await new Promise<void>((resolve) => (answer = resolve));
          return found;
        },
      }),
    });
    const sink = await world.tail(connection);
    slow = true;
    await world.pass(5_000); // a poll, that is answered before the event is stored
    await world.later(connection, "one");
    await world.pass(1_100);
    expect(sink.texts).toEqual([]);
    slow = false;
    answer();
    await world.pass(100);
    expect(sink.texts).toEqual(["one"]);
  });

  it("is removed though the store was away, and meanwhile not published again", async () => {
    const world = new World();
    let away = true;
    const connection = await world.process({
      store: (state) => ({
        unschedule: (...given) => (away ? Promise.reject(new Error("away")) : state.unschedule(...given)),
      }),
    });
    const sink = await world.tail(connection);
    await world.later(connection, "one");
    await world.pass(100_000);
    away = false;
    await world.pass(40_000);
    expect([sink.texts, world.sent.length]).toEqual([["one"], 1]);
    expect(await connection.state!.due(world.clock.now() + 1e9, 10, 0)).toEqual([]);
  });

  it("goes with its stream", async () => {
    const world = new World();
    const connection = await world.process();
    await connection.ensureStream({ name: "b", topics: ["b"] });
    await world.later(connection, "one");
    await world.later(connection, "two", { to: toTopic("b", "b") });
    expect(await connection.admin.deleteStream("events")).toBe(true);
    expect(await connection.admin.scheduled!(undefined, 9)).toMatchObject([{ id: "two" }]);
    expect(world.warnings).toEqual([]);
  });

  it("goes with its stream also when it is taken at that moment", async () => {
    const world = new World();
    const dying = await world.process(dyingAfter("taken"));
    await world.later(dying, "one");
    await world.pass(1_100);
    const connection = await world.process();
    expect(await connection.admin.deleteStream("events")).toBe(true);
    await world.pass(40_000);
    expect(world.warnings).toEqual(["dropped what was published for later: its stream was deleted"]);
    expect(await connection.state!.due(world.clock.now() + 1e9, 10, 0)).toEqual([]);
  });

  it("waits, with a word for each lease, for its stream, or for the broker that has it", async () => {
    const world = new World();
    const other = lacking(["state"]);
    const one = await world.process();
    const publisher = await world.process({ store: () => ({ due: () => Promise.resolve([]) }) }, other);
    expect(await (await world.atTheBroker()).admin.deleteStream("events")).toBe(true);
    const ids = Array.from({ length: 20 }, (_, n) => String(n));
    for (const id of ids) await world.later(publisher, id);
    await world.pass(10_000); // taken by the one that has no such stream
    expect(world.warnings).toEqual(["can't publish what is due, and goes on trying"]);
    const two = await world.process({}, other);
    const sink = await world.tail(two);
    await world.pass(600_000);
    expect(sink.texts.toSorted()).toEqual(ids.toSorted());
    expect(new Set(world.warnings).size).toBe(1);
    await two.close(AbortSignal.abort());
    await world.later(one, "late");
    const before = world.warnings.length;
    await world.pass(120_000);
    expect(world.warnings.length - before).toBeGreaterThan(1);
    expect(world.warnings.length - before).toBeLessThan(6);
    await one.ensureStream({ name: "events", topics: [">"] });
    const made = await world.tail(one);
    await world.pass(40_000);
    expect(made.texts).toEqual(["late"]);
    expect(await one.state!.due(world.clock.now() + 1e9, 10, 0)).toEqual([]);
  });

  it("goes with the group to whose queue it was sent", async () => {
    const world = new World();
    const connection = await world.process();
    for (const group of ["g", "h"]) await connection.ensureGroup(groupSpec(group));
    for (const group of ["g", "h"]) await world.later(connection, "one", { to: toQueue(group) });
    expect(await connection.admin.groups()).toMatchObject([{ scheduled: 1 }, { scheduled: 1 }]);
    expect(await connection.admin.deleteGroup("g")).toBe(true);
    expect(await connection.admin.scheduled!(undefined, 9)).toMatchObject([{ id: "one" }]);
    expect(await connection.admin.groups()).toMatchObject([{ waiting: 1, scheduled: 1 }]);
  });

  it("is cancelled by another process wherever it was to go", async () => {
    const world = new World();
    const [one, two] = [await world.process(), await world.process()];
    const ids = ["one", "g/one", "q/g/one"]; // none is taken for another's
    for (const id of ids) {
      await world.later(one, id);
      await world.later(one, id, { to: toQueue("g") });
    }
    expect((await two.admin.scheduled!(undefined, 9)).map(({ id }) => id)).toEqual(ids.flatMap((id) => [id, id]));
    expect(await two.admin.cancelScheduled!(["one", "none"])).toEqual(["one"]);
    expect((await two.admin.scheduled!(undefined, 9)).map(({ id }) => id)).toEqual(
      ids.slice(1).flatMap((id) => [id, id]),
    );
    expect(await two.admin.cancelScheduled!(ids)).toEqual(ids.slice(1));
    expect(await two.admin.scheduled!(undefined, 9)).toEqual([]);
  });

  it("stays away when it was cancelled, whenever its publish is tried again", async () => {
    const world = new World();
    const [one, two] = [await world.process(), await world.process()];
    const sink = await world.tail(two);
    for (const to of [toTopic("a"), toQueue("g")]) await world.later(one, "gone", { to });
    expect(await two.admin.cancelScheduled!(["gone"])).toEqual(["gone"]);
    for (const notBefore of [world.clock.now() + 1_000, world.clock.now() - 1]) {
      for (const to of [toTopic("a"), toQueue("g")])
        expect((await world.later(one, "gone", { to, notBefore })).outcome).toBe("stored");
      expect(await one.admin.scheduled!(undefined, 9)).toEqual([]);
      await world.pass(10_000);
    }
    expect(world.sent).toEqual([]);
    await world.later(one, "late", { notBefore: world.clock.now() - 1 });
    await world.pass(100);
    expect(sink.texts).toEqual(["late"]);
    await world.pass(120_000);
    await world.later(one, "gone");
    await world.pass(1_100);
    expect(sink.texts).toEqual(["late", "gone"]); // an event of its own by now
  });

  it("fails alone when the store refuses it", async () => {
    const world = new World();
    const connection = await world.process({
      store: (state) => ({
        schedule: (messages) =>
          messages.some(({ id }) => id === "t/bad") ? Promise.reject(new Error("no")) : state.schedule(messages),
      }),
    });
    const sent = ["good", "bad", "fine"].map((id) =>
      outgoing(toTopic("a"), id, { id, notBefore: world.clock.now() + 9_000 }),
    );
    connection.send(sent.map(({ message }) => message));
    await world.pass(0);
    expect(sent.map(({ outcome }) => outcome)).toEqual(["stored", "unknown", "stored"]);
  });

  it("waits patiently where the store's clock is behind", async () => {
    const world = new World();
    let asked = 0;
    const connection = await world.process({
      store: (state) => ({
        due: (now, ...rest) => {
          asked += 1;
          return state.due(now - 5_000, ...rest);
        },
      }),
    });
    const sink = await world.tail(connection);
    await world.later(connection, "one");
    await world.pass(5_500);
    expect(sink.texts).toEqual([]);
    expect(asked).toBeLessThan(15);
    await world.pass(1_600);
    expect(sink.texts).toEqual(["one"]);
    asked = 0;
    await world.later(connection, "two");
    await world.pass(1_200);
    expect(asked).toBeGreaterThan(2); // soon again at first
    await world.pass(6_000);
    expect(sink.texts).toEqual(["one", "two"]);
  });

  it("is published and removed before the connection is closed, when it was taken", async () => {
    const world = new World();
    const held: OutMessage[] = [];
    const connection = await world.process({ broker: () => ({ send: (batch) => void held.push(...batch) }) });
    await world.later(connection, "one");
    await world.pass(1_100);
    expect(held).toHaveLength(1);
    let closed = false;
    const closing = connection.close(new AbortController().signal).then(() => (closed = true));
    await turns(8);
    expect(closed).toBe(false);
    held[0]!.stored();
    await closing;
    const other = await world.process();
    expect(await other.state!.due(world.clock.now() + 1e9, 10, 0)).toEqual([]);
    const failing = await world.process({
      broker: () => ({ send: (batch) => batch.forEach((message) => message.failed("no", new Error("no"))) }),
    });
    await world.later(failing, "three");
    await world.pass(1_100);
    await failing.close(new AbortController().signal); // what waits for its next try is left to others
    const stuck = await world.process({ broker: () => ({ send: () => undefined }) });
    await world.later(stuck, "two");
    await world.pass(1_100);
    await stuck.close(AbortSignal.timeout(20)); // by force
  });
});
