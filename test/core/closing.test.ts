import { describe, expect, it } from "vitest";
import { connect } from "../../src/index.ts";
import { Fault } from "../support/faulty-driver.ts";
import { silence, until, within } from "../../src/testing/until.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { fresh, gate, LogBook, Seen, Tick, Tock } from "../support/events.ts";
import { tapped } from "../support/tapped-driver.ts";

describe("closing while a subscription is being opened", () => {
  it("starts nothing of what comes with it, so that nobody handles it twice", async () => {
    const name = fresh("store");
    await using keep = await connect({ driver: memory({ name }) });
    const options = { group: "g", order: "none" } as const;
    await (await keep.subscribe(Tick, () => undefined, options)).unsubscribe();
    for (const n of [1, 2, 3]) await keep.publish(Tick, { n });
    let open = gate();
    let asked = 0;
    const driver = tapped(
      {
        connection: (connection) => ({
          ensureGroup: async (spec) => {
            asked += 1;
            await open.opened;
            return connection.ensureGroup(spec);
          },
        }),
      },
      memory({ name }),
    );
    const bus = await connect({ driver });
    const ran: number[] = [];
    const late = gate();
    const other = gate();
    let busy = 0;
    open.open();
    await bus.subscribe(Tock, () => ((busy += 1), other.opened), { group: "other" });
    await bus.publish(Tock, { n: 0 });
    await until(() => busy === 1, "a handler that closing waits for");
    open = gate();
    asked = 0;
    const subscribing = bus
      .subscribe(Tick, ({ data }) => (ran.push(data.n), late.opened), options)
      .catch(() => undefined);
    await until(() => asked === 1, "that it is being opened");
    const closing = bus.close();
    open.open();
    await silence(() => ran.length, "handlers of a bus that is being closed", 50);
    other.open();
    await closing;
    await subscribing;
    late.open();
    const seen = new Seen();
    await keep.subscribe(Tick, seen.handle, options);
    await until(() => seen.count === 3, "all of them, elsewhere");
    expect([ran, seen.numbers]).toEqual([[], [1, 2, 3]]);
  });
});

describe("a driver that closes slowly", () => {
  for (const timeoutMs of [50, 1_200]) {
    it(`is forced when the ${timeoutMs} ms are up, and then waited for`, async () => {
      const forced: number[] = [];
      const from = performance.now();
      const driver = tapped({
        connection: (connection) => ({
          close: (signal) =>
            new Promise((resolve) =>
              signal.addEventListener("abort", () => {
                forced.push(performance.now() - from);
                resolve(connection.close(signal));
              }),
            ),
        }),
      });
      const bus = await connect({ driver });
      expect(await within(bus.close({ timeoutMs }), "the end", timeoutMs + 800)).toEqual({ unfinished: 0 });
      expect(forced).toHaveLength(1);
      expect(forced[0]).toBeGreaterThanOrEqual(timeoutMs - 20);
      expect(bus.state).toBe("closed");
    });
  }

  it("does not keep the bus from closing, though it never ends", async () => {
    const driver = tapped({ connection: () => ({ close: () => new Promise(() => undefined) }) });
    const bus = await connect({ driver });
    await within(bus.close({ timeoutMs: 20 }), "the end", 2_500);
    expect(bus.state).toBe("closed");
  });

  it("is given its time, when it needs less", async () => {
    const open = gate();
    let aborted = false;
    const driver = tapped({
      connection: (connection) => ({
        close: async (signal) => {
          await open.opened;
          aborted = signal.aborted;
          await connection.close(signal);
        },
      }),
    });
    const bus = await connect({ driver });
    const closing = bus.close();
    await silence(() => Number(bus.state === "closed" && aborted), "forced too early", 30);
    open.open();
    await within(closing, "the end", 1_000);
    expect(aborted).toBe(false);
  });
});

describe("a close that rejects", () => {
  const raw = (): Promise<never> => Promise.reject(new Error("socket hang up"));

  it("of the driver's is logged, not thrown", async () => {
    const logger = new LogBook();
    const bus = await connect({ driver: tapped({ connection: () => ({ close: raw }) }), logger });
    expect(await within(bus.close(), "the end", 1_000)).toEqual({ unfinished: 0 });
    expect(logger.of("closing")).toMatchObject([{ level: "warn", fields: { reason: "socket hang up" } }]);
    expect(logger.of("closed")).toHaveLength(1);
  });

  for (const group of ["g", false] as const) {
    it(`of a ${group === false ? "tail's" : "group's"} is logged, and the rest closes`, async () => {
      const logger = new LogBook();
      let closed = false;
      const driver = tapped({
        consumption: () => ({ close: raw }),
        connection: (connection) => ({
          close: async (signal) => {
            await connection.close(signal);
            closed = true;
          },
        }),
      });
      const bus = await connect({ driver, logger });
      await bus.subscribe(Tick, () => new Promise(() => undefined), { group });
      await bus.publish(Tick, { n: 1 });
      await until(() => bus.stats().inFlight === 1, "the handler");
      expect(await within(bus.close({ timeoutMs: 30 }), "the end", 2_000)).toEqual({ unfinished: 1 });
      expect(closed).toBe(true);
      expect(logger.of("closed")).toHaveLength(1);
    });
  }

  it("of a group's, when its last handler unsubscribes, reaches who asked, or is logged", async () => {
    const logger = new LogBook();
    const bus = await connect({ driver: tapped({ consumption: () => ({ close: raw }) }), logger });
    const stop = new AbortController();
    await bus.subscribe(Tick, () => undefined, { group: "g", signal: stop.signal });
    stop.abort();
    await until(() => logger.of("unsubscribing failed").length === 1, "the line", 1_000);
    await within(bus.close(), "the end", 2_000);
  });
});

describe("closing while one group can't hand back", () => {
  it("lets the others do it before the connection goes", async () => {
    const calls: string[] = [];
    const slow = gate();
    const driver = tapped({
      connection: (connection) => ({
        close: (signal) => (calls.push("connection"), connection.close(signal)),
      }),
      consumption: (consumption, source) => ({
        close: async (signal) => {
          if (source.kind !== "group") return consumption.close(signal);
          if (source.group === "bad") throw new Fault("no answer");
          await slow.opened;
          await consumption.close(signal);
          calls.push("good");
        },
      }),
    });
    const logger = new LogBook();
    const bus = await connect({ driver, logger });
    await bus.subscribe(Tick, () => undefined, { group: "bad" });
    await bus.subscribe(Tick, () => undefined, { group: "good" });
    const closing = bus.close();
    await until(() => logger.of("closing").length === 1, "the failure of the one");
    await silence(() => calls.length, "closed under the other", 40);
    slow.open();
    await closing;
    expect(calls).toEqual(["good", "connection"]);
  });
});
