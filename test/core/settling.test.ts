import { describe, expect, it } from "vitest";
import { connect, defineEvent, defineRequest, Reject, typed, type Bus } from "../../src/index.ts";
import type { Settlement } from "../../src/driver.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { silence, until, within } from "../../src/testing/until.ts";
import { atOnce, failureOf, fresh, gate, onMemory, Seen, stillWorks, Tick, Tock } from "../support/events.ts";
import { FaultyDriver } from "../support/faulty-driver.ts";
import { tapped } from "../support/tapped-driver.ts";

/** A bus whose broker answers the first settlements of a kind as unknown, without effect. */
async function answeringUnknown(
  how: Settlement["how"],
  times: number,
  name = fresh("store"),
): Promise<{ readonly bus: Bus; readonly asked: () => number }> {
  let asked = 0;
  const driver = tapped(
    {
      consumption: (consumption) => ({
        settle: async (batch) => {
          const mine = batch.some((settlement) => settlement.how === how);
          if (mine) asked += 1;
          return mine && asked <= times ? batch.map(() => "unknown") : consumption.settle(batch);
        },
      }),
    },
    memory({ name }),
  );
  return { bus: await connect({ driver, retry: { maxAttempts: 3, ...atOnce } }), asked: () => asked };
}

describe("a settlement whose fate is unknown", () => {
  it("as a retry: the event is tried again here, its attempts counted, and it is handled once", async () => {
    const { bus } = await answeringUnknown("retry", 1);
    await using _ = bus;
    const attempts: number[] = [];
    await bus.subscribe(
      Tick,
      (_event, { attempt }) => {
        attempts.push(attempt);
        if (attempt < 3) throw new Error("not yet");
      },
      { group: "g", order: "none" },
    );
    await bus.publish(Tick, { n: 1 });
    await until(
      () => bus.stats().handled === 1,
      () => attempts.join(),
      5_000,
    );
    expect(attempts).toEqual([1, 2, 3]);
    await until(async () => (await bus.groups.info("g")).inFlight === 0, "that it is settled");
    expect(await bus.groups.info("g")).toMatchObject({ waiting: 0, deadLetters: 0 });
  });

  it("as a retry, again and again: no more attempts than there may be, then a letter", async () => {
    const { bus } = await answeringUnknown("retry", Number.POSITIVE_INFINITY);
    await using _ = bus;
    const attempts: number[] = [];
    await bus.subscribe(
      Tick,
      (_event, { attempt }) => {
        attempts.push(attempt);
        throw new Error("never");
      },
      { group: "g", order: "none" },
    );
    await bus.publish(Tick, { n: 1 });
    await until(async () => (await bus.deadLetters.count()) === 1, "the letter", 8_000);
    expect(attempts).toEqual([1, 2, 3]);
    expect((await bus.deadLetters.list()).items[0]!.attempts).toBe(3);
  });

  it("as a release: the event stays, is handed on again, and reaches the member that takes it", async () => {
    const name = fresh("store");
    const { bus: old, asked } = await answeringUnknown("release", 1, name);
    await using _ = old;
    await old.subscribePattern("tock", () => undefined, { group: "other" });
    await old.subscribe(Tick, () => undefined, { group: "g", order: "none" });
    await using operator = await connect({ driver: memory({ name }) });
    await operator.groups.update("g", ["tick", "tock"]);
    await operator.publish(Tock, { n: 1 });
    await until(() => asked() === 1, "the first release");
    await using takes = await connect({ driver: memory({ name }) });
    const seen = new Seen();
    await takes.subscribe([Tick, Tock], seen.handle, { group: "g", order: "none" });
    await until(() => seen.count === 1, "the event", 8_000);
    expect(asked()).toBeGreaterThan(1);
    expect(await operator.deadLetters.count()).toBe(0);
  });
});

describe("a settlement that is never answered", () => {
  for (const order of ["group", "none"] as const) {
    it(`holds nothing up once the broker has ended the consumption (order ${order})`, async () => {
      const broker = new FaultyDriver();
      let asked = 0;
      const first = <Answer>(ask: () => Promise<Answer>): Promise<Answer> =>
        (asked += 1) === 1 ? new Promise(() => undefined) : ask();
      const driver = tapped(
        {
          consumption: (consumption, { kind }) =>
            kind === "group"
              ? {
                  record: (notes) => first(() => consumption.record(notes)),
                  settle: (batch) => first(() => consumption.settle(batch)),
                }
              : {},
        },
        broker,
      );
      const bus = await connect({ driver, retry: atOnce, reconnect: { minMs: 1, maxMs: 1 } });
      const runs: string[] = [];
      await bus.subscribe(
        Tick,
        ({ data }) => {
          runs.push(String(data.n));
          if (runs.length === 1) throw new Error("once");
        },
        { group: "g", order, concurrency: 1 },
      );
      await bus.publishMany([1, 2].map((n) => Tick.of({ n }, { key: "k" })));
      await until(() => asked === 1, "the settlement");
      await broker.last("group").end();
      await until(
        () => new Set(runs.slice(1)).size === 2,
        () => `both, after it: ${runs.join()}`,
        5_000,
      );
      await within(bus.close({ timeoutMs: 50 }), "the end", 3_000);
    });
  }
});

describe("a message that is released for another handler's sake", () => {
  it("keeps the names of the handlers that are done with it", async () => {
    await using bus = await onMemory();
    const done = new Seen();
    const open = gate();
    let blocked = 0;
    await bus.subscribe(Tick, done.handle, { group: "g", order: "none", name: "done" });
    const leaving = await bus.subscribe(Tick, () => ((blocked += 1), open.opened), {
      group: "g",
      name: "leaving",
      concurrency: 1,
    });
    await bus.publishMany([Tick.of({ n: 1 }), Tick.of({ n: 2 })]);
    await until(() => done.count === 2 && blocked === 1, "one that waits for the handler that leaves");
    const left = leaving.unsubscribe();
    open.open();
    await left;
    await until(async () => {
      const { waiting, inFlight } = await bus.groups.info("g");
      return waiting + inFlight === 0;
    }, "that both are settled");
    await silence(() => done.count, "handled once more", 30);
    expect(done.numbers).toEqual([1, 2]);
  });
});

describe("two handlers of an event with two schemas", () => {
  it("of which the first rejects and the second throws: one letter, and no unhandled rejection", async () => {
    const unhandled: unknown[] = [];
    const hear = (reason: unknown): void => void unhandled.push(reason);
    process.on("unhandledRejection", hear);
    const Viewed = (validate: () => unknown) =>
      defineEvent("viewed", {
        schema: { "~standard": { version: 1, vendor: "test", validate } } as ReturnType<typeof typed<object>>,
      });
    try {
      await using bus = await onMemory({ validate: "receive" });
      await bus.subscribe(
        Viewed(() => Promise.resolve({ issues: [{ message: "bad" }] })),
        () => undefined,
        { group: "g" },
      );
      const throwing = Viewed(() => {
        throw new Error("sync");
      });
      await bus.subscribe(throwing, () => undefined, { group: "g" });
      await bus.publishTopic("viewed", {}, { type: "viewed" });
      await until(async () => (await bus.deadLetters.count()) === 1, "the letter", 2_000);
      await silence(() => unhandled.length, "unhandled rejections", 30);
      expect(unhandled).toEqual([]);
      expect(bus.stats().inFlight).toBe(0);
      await stillWorks(bus);
    } finally {
      process.off("unhandledRejection", hear);
    }
  });
});

describe("a letter of data that can't be encoded", () => {
  it("is written all the same, where nothing is encoded; the key goes on", async () => {
    await using bus = await connect({ driver: memory({ encode: false }) });
    let runs = 0;
    await bus.subscribePattern(
      "odd.>",
      () => {
        runs += 1;
        throw new Reject("no");
      },
      { group: "g" },
    );
    const loop: { self?: unknown } = {};
    loop.self = loop;
    const odd = [{ big: 10n }, { run: () => 1 }, loop, new Map([[1, 2]]), Symbol("s"), undefined, { n: 1 }];
    for (const data of odd) await bus.publishTopic("odd.x", data, { key: "k" });
    await until(
      async () => (await bus.deadLetters.count()) === odd.length,
      () => `${runs} of ${odd.length}`,
      3_000,
    );
    expect(runs).toBe(odd.length);
    for (const { reason } of (await bus.deadLetters.list()).items) expect(reason.message).toContain("no");
    await stillWorks(bus);
  });
});

describe("what a responder fails with", () => {
  it("reaches the requester, though it is half a surrogate pair", async () => {
    await using bus = await onMemory();
    const Ask = defineRequest("ask", { request: typed<object>(), response: typed<object>() });
    let thrown: Error;
    await bus.respond(Ask, () => {
      throw thrown;
    });
    for (const text of ["x\uD83D", "\uDE00", `${"x".repeat(1_023)}😀`, `${"x".repeat(99)}😀`]) {
      thrown = Object.assign(new Error(text), { name: text });
      const failure = await within(failureOf(bus.request(Ask, {}, { timeoutMs: 1_500 })), "the answer", 1_000);
      expect(failure).toMatchObject({ code: "BUS_REMOTE" });
      expect(failure.message).toMatch(/x{2}|x\uFFFD|\uFFFD/);
    }
  });
});

describe("replaying", () => {
  for (const call of ["claimLetters", "letter", "removeLetters"] as const) {
    it(`wraps the driver's own error or counts the letter as failed, and shows no secret: ${call}`, async () => {
      class RawError extends Error {
        readonly code = "ECONNREFUSED";
      }
      const driver = tapped({
        connection: ({ admin }) => {
          Object.assign(admin, { [call]: () => Promise.reject(new RawError("at postgres://u:hunter2@h/db")) });
          return {};
        },
      });
      await using bus = await connect({ driver });
      await bus.subscribe(Tick, () => Promise.reject(new Reject("no")), { group: "g" });
      await bus.publish(Tick, { n: 1 });
      await until(async () => (await bus.deadLetters.count()) === 1, "the letter");
      const outcome = await bus.deadLetters.replay({ group: "g" }).catch((error: unknown) => error);
      if (call !== "claimLetters") expect(outcome).toMatchObject({ replayed: 0, failed: 1 });
      else expect(outcome).toMatchObject({ name: "BusError", code: expect.stringMatching(/^BUS_/) as string });
      expect(String((outcome as Error).message)).not.toContain("hunter2");
    });
  }
});
