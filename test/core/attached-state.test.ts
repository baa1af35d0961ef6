import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it, onTestFinished } from "vitest";
import { AttachedState } from "../../src/attached-state.ts";
import type { Driver, Member } from "../../src/driver.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { type Bus, type BusOptions, connect, createBus } from "../../src/index.ts";
import { changed } from "../../src/testing/changed.ts";
import { failureOf, fresh, LogBook, Seen, Tick } from "../support/events.ts";
import { lacking } from "../support/lacking-driver.ts";

const folder = await mkdtemp(join(tmpdir(), "omnibus-state-"));
afterAll(() => rm(folder, { recursive: true }));
const file = (): string => `sqlite:${join(folder, `${fresh("state")}.db`)}`;

async function open(driver: Driver, options: BusOptions): Promise<Bus> {
  const bus = await connect({ driver, ...options });
  onTestFinished(() => bus.close().then(() => undefined));
  return bus;
}

/** Memory whose groups have these hosts. */
function onHosts(hosts: readonly string[]): Driver {
  const driver = lacking(["state"]);
  return changed(driver, {
    connect: async (context) => {
      const connection = await driver.connect(context);
      const members = async (): Promise<readonly Member[]> => hosts.map((host) => ({ ...context.member, host }));
      return changed(connection, { admin: changed(connection.admin, { members }) });
    },
  });
}

describe("a state store attached to a driver that has none", () => {
  it("option: BusOptions.state gives it key-value, and nothing else changes", async () => {
    const state = file();
    const [one, two] = [await open(lacking(["state"]), { state }), await open(lacking(["state"]), { state })];
    expect(one.driver?.capabilities.state).toBe("attached");
    expect(one.driver?.name).toBe("memory");
    await one.kv("b").put("k", 1);
    expect((await two.kv("b").get("k"))?.value).toBe(1);
    const seen = new Seen();
    await one.subscribe(Tick, seen.handle, { group: "g" });
    await one.publish(Tick, { n: 1 });
    await one.flush();
    expect((await one.health()).broker["stateStore"]).toBe("sqlite, up");
  });

  it("is refused where the driver has one of its own", async () => {
    const failure = await failureOf(connect({ driver: memory(), state: file() }));
    expect(failure).toMatchObject({ code: "BUS_INVALID_OPTION", message: expect.stringContaining("of its own") });
  });

  it("is refused in memory, as no url, and as a url of nobody's", async () => {
    const driver = lacking(["state"]);
    const states = ["memory:", "memory:shared", "state.db", "mongodb://localhost"];
    const failures = await Promise.all(states.map((state) => failureOf(connect({ driver, state }))));
    expect(failures.map(({ code }) => code)).toEqual(states.map(() => "BUS_INVALID_OPTION"));
  });

  it("is closed although the broker's close fails", async () => {
    const closed: string[] = [];
    const closing = (driver: Driver, close: () => Promise<void>): Driver =>
      changed(driver, { connect: async (context) => changed(await driver.connect(context), { close }) });
    const broker = closing(lacking(["state"]), () => Promise.reject(new Error("no close")));
    const store = closing(memory(), async () => void closed.push("store"));
    const driver = new AttachedState(broker, { driver: store, isLocal: false });
    const bus = await connect({ driver });
    await bus.close().catch(() => undefined);
    expect(closed).toEqual(["store"]);
  });

  it("that can't be reached fails the connect, which leaves nothing open", async () => {
    const closed: string[] = [];
    const driver = lacking(["state"]);
    const watched = changed(driver, {
      connect: async (context) => {
        const connection = await driver.connect(context);
        return changed(connection, {
          close: async (signal) => {
            closed.push("closed");
            await connection.close(signal);
          },
        });
      },
    });
    const state = "redis://127.0.0.1:1";
    const failure = await failureOf(connect({ driver: watched, state, connectTimeoutMs: 1_000 }));
    expect(failure).toMatchObject({ code: "BUS_CONNECTION", retryable: true });
    expect(failure.message).toMatch(/the state store \(redis\)|no connection within/);
    expect(closed.length).toBeGreaterThan(0);
  });

  it("is refused as a file when a group's members are on several hosts", async () => {
    const driver = onHosts(["b", "a", "b"]);
    const bus = await open(driver, { state: file() });
    const failure = await failureOf(bus.subscribe(Tick, () => undefined, { group: "g" }));
    expect(failure.code).toBe("BUS_INVALID_OPTION");
    expect(failure.message).toContain('several hosts (group "g": a, b)');
    const alone = await open(onHosts(["a", "a"]), { state: file() });
    await alone.subscribe(Tick, () => undefined, { group: "g" });
  });
});

describe("key-value", () => {
  it("throws at once for a bucket or options that are none", () => {
    const bus = createBus("memory:");
    for (const wrong of ["", "a b", "a.b", 7 as never])
      expect(() => bus.kv(wrong)).toThrow(expect.objectContaining({ code: "BUS_INVALID_OPTION" }));
    for (const wrong of [{ maxAgeMs: 0 }, { maxAgeMs: Infinity }, { encoding: "xml" }, { maxAge: 1 }])
      expect(() => bus.kv("b", wrong as never)).toThrow(expect.objectContaining({ code: "BUS_INVALID_OPTION" }));
  });

  it("leaves out of a watch what is no value of its own, says so, and goes on", async () => {
    const logger = new LogBook();
    const bus = await open(memory(), { logger });
    await bus.kv<Uint8Array>("b", { encoding: "bytes" }).put("garbage", Uint8Array.of(0xff, 0xfe));
    const kv = bus.kv<number>("b");
    await kv.put("good", 1);
    for await (const { key, value } of kv.watch()) {
      expect([key, value]).toEqual(["good", 1]);
      break;
    }
    const [line] = logger.of("a value was left out of a watch");
    expect(line).toMatchObject({ level: "error", fields: { bucket: "b", code: "BUS_UNDECODABLE" } });
    expect(JSON.stringify(logger.lines)).not.toContain("garbage");
  });

  it("option: KeyValue.watch.signal ends it while there is no connection yet", { timeout: 10_000 }, async () => {
    const bus = createBus("redis://127.0.0.1:1");
    onTestFinished(() => bus.close({ timeoutMs: 1_000 }).then(() => undefined));
    const stop = new AbortController();
    const watching = bus.kv("b").watch("", { signal: stop.signal });
    const next = (watching as AsyncGenerator).next();
    stop.abort();
    expect((await next).done).toBe(true);
  });
});
