import { afterEach, describe, expect, it } from "vitest";
import type { StoredMessage } from "../../src/driver.ts";
import type { Session } from "../../src/drivers/redis/session.ts";
import { stateOf } from "../../src/drivers/redis/state-store.ts";
import { until } from "../../src/testing/until.ts";
import { freshPrefix, openSession } from "../support/redis-session.ts";
import { bytes, checkUntaken, listed, text as textOf } from "../support/state-cases.ts";
import { testBroker } from "../support/test-broker.ts";

const redis = await testBroker("redis");
const open: Session[] = [];

async function session(prefix = freshPrefix()): Promise<Session> {
  const opened = await openSession(redis!.url, prefix);
  open.push(opened);
  return opened;
}

function stored(id: string, more: Partial<StoredMessage> = {}): StoredMessage {
  const to = { kind: "topic", stream: "events", topic: "a.b" } as const;
  return {
    ...{ id, to, group: undefined, topic: "a.b", key: undefined, headers: [], body: bytes(id) },
    ...{ storedAt: 1, notBefore: undefined },
    ...more,
  };
}

afterEach(async () => {
  for (const each of open.splice(0)) await each.close(AbortSignal.timeout(1_000));
});

describe.skipIf(redis === undefined)("state on redis", () => {
  it("keeps a value byte for byte, under names of any kind", async () => {
    const state = stateOf(await session());
    const value = new Uint8Array([0, 255, 13, 10, 128]);
    const revision = await state.put("a bucket:{x}", "k ey\0ü", value, {});
    expect(await state.get("a bucket:{x}", "k ey\0ü")).toEqual({ value, revision });
    expect(await state.get("a bucket", "k ey\0ü")).toBeUndefined();
  });

  it("puts and deletes by revision", async () => {
    const state = stateOf(await session());
    const first = await state.put("b", "k", bytes("1"), { expect: null });
    expect(first).toBeDefined();
    expect(await state.put("b", "k", bytes("2"), { expect: null })).toBeUndefined();
    expect(await state.put("b", "k", bytes("2"), { expect: "0" })).toBeUndefined();
    const second = await state.put("b", "k", bytes("2"), { expect: first! });
    expect(Number(second)).toBeGreaterThan(Number(first));
    expect(await state.delete("b", "k", first)).toBe(false);
    expect(textOf((await state.get("b", "k"))?.value)).toBe("2");
    expect(await state.delete("b", "k", second)).toBe(true);
    expect(await state.delete("b", "k")).toBe(false);
  });

  it("of two who write with one revision one wins", async () => {
    const prefix = freshPrefix();
    const [one, two] = [stateOf(await session(prefix)), stateOf(await session(prefix))];
    const revision = await one.put("b", "k", bytes("0"), {});
    const both = await Promise.all(
      [one, two].map((state, index) => state.put("b", "k", bytes(String(index)), { expect: revision! })),
    );
    expect(both.filter((each) => each !== undefined)).toHaveLength(1);
  });

  it("forgets what has ended, for every reader, and lets it be made anew", async () => {
    const state = stateOf(await session());
    await state.put("b", "short", bytes("1"), { ttlMs: 30 });
    await state.put("b", "long", bytes("1"), { ttlMs: 60_000 });
    await until(async () => (await state.get("b", "short")) === undefined, "the end");
    expect(await listed(state.keys("b", ""))).toEqual(["long"]);
    expect(await state.delete("b", "short")).toBe(false);
    expect(await state.put("b", "short", bytes("2"), { expect: null })).toBeDefined();
    expect(textOf((await state.get("b", "short"))?.value)).toBe("2");
  });

  it("lists names by prefix and in order, more than a page of them", async () => {
    const state = stateOf(await session());
    const names = Array.from({ length: 600 }, (_, index) => `p.${String(index).padStart(4, "0")}`);
    await Promise.all([...names, "o", "q", "p"].map((name) => state.put("b", name, bytes("x"), {})));
    expect(await listed(state.keys("b", "p."))).toEqual(names);
    expect(await listed(state.keys("b", "pp"))).toEqual([]);
  });

  it("watches: what is there, then changes, deletions and ends", async () => {
    const prefix = freshPrefix();
    const [watching, writing] = [stateOf(await session(prefix)), stateOf(await session(prefix))];
    await writing.put("b", "k1", bytes("1"), {});
    await writing.put("other", "k1", bytes("no"), {});
    const controller = new AbortController();
    const seen: string[] = [];
    const watch = (async () => {
      for await (const { key, value } of watching.watch("b", "k", controller.signal))
        seen.push(`${key}=${textOf(value)}`);
    })();
    await until(() => seen.length === 1, "the first");
    await writing.put("b", "k2", bytes("2"), {});
    await until(() => seen.length === 2, "the second");
    await writing.put("b", "else", bytes("2"), {});
    await writing.delete("b", "k1");
    await until(() => seen.length === 3, "the deletion");
    await writing.put("b", "k3", bytes("3"), { ttlMs: 1_000 });
    await until(
      () => seen.length === 5,
      () => `the end; ${seen.join(" ")}`,
    );
    controller.abort();
    await watch;
    expect(seen).toEqual(["k1=1", "k2=2", "k1=undefined", "k3=3", "k3=undefined"]);
  });

  it("a watch ends with its connection", async () => {
    const connection = await session();
    const watch = listed(stateOf(connection).watch("b", "", new AbortController().signal));
    await stateOf(connection).put("b", "k", bytes("1"), {});
    await connection.close(AbortSignal.timeout(1_000));
    expect((await watch).length).toBeLessThanOrEqual(1);
  });

  it("leases what is due, to one", async () => {
    const prefix = freshPrefix();
    const [one, two] = [stateOf(await session(prefix)), stateOf(await session(prefix))];
    const now = Date.now();
    const late = stored("late", { notBefore: now + 3_600_000 });
    // two clocks, each in whole milliseconds
    const due = stored("due", { notBefore: now - 10, key: "k", headers: [["h", "v"]] });
    await one.schedule([late, due, stored("now")]);
    const both = await Promise.all([one.due(now, 10, 60_000), two.due(now, 10, 60_000)]);
    expect(both.flatMap((each) => each.map(({ id }) => id)).toSorted()).toEqual(["due", "now"]);
    expect(both.flat()).toContainEqual(due);
    expect(await one.due(now + 3_700_000, 10, 0)).toHaveLength(3);
    expect(await one.due(now, 10, 0)).toHaveLength(0);
  });

  it("gives a leased message again when the lease is over, and none that was cancelled", async () => {
    const state = stateOf(await session());
    await state.schedule([stored("a"), stored("b")]);
    expect(await state.due(Date.now(), 10, 30)).toHaveLength(2);
    expect(await state.unschedule(["a", "none"])).toEqual(["a"]);
    let again: readonly StoredMessage[] = [];
    await until(async () => {
      again = await state.due(Date.now(), 10, 60_000);
      return again.length > 0;
    }, "the lease to be over");
    expect(again.map(({ id }) => id)).toEqual(["b"]);
  });

  it("lists what is scheduled by pages, though the cursor's message went", async () => {
    const state = stateOf(await session());
    const ids = Array.from({ length: 300 }, (_, index) => `id-${String(index).padStart(3, "0")}`);
    await state.schedule(ids.map((id) => stored(id, { notBefore: Date.now() + 60_000 })));
    const first = await state.scheduled(undefined, 100);
    await state.unschedule([first.at(-1)!.id]);
    const rest = await state.scheduled(first.at(-1)!.position, 1_000);
    expect([...first, ...rest].map(({ id }) => id).toSorted()).toEqual(ids);
  });

  it("lists and takes back only what nobody has taken", async () => {
    const opened = await session();
    const [state, now, cancelled] = [stateOf(opened), Date.now(), `${opened.keys.base}:t:c`];
    await checkUntaken(state, now);
    const pass = async (): Promise<unknown> => await opened.command(["ZADD", cancelled, "XX", "1", "u1"]);
    await pass(); // two minutes later
    await state.schedule([stored("u1", { notBefore: now + 9_000 }), stored("v", { notBefore: now + 9_500 })]);
    expect((await state.scheduled(undefined, 9)).map(({ id }) => id)).toEqual(["u1", "v"]);
    expect(await state.unschedule(["u1"], true)).toEqual(["u1"]);
    await pass();
    expect(await state.unschedule(["v"], true)).toEqual(["v"]);
    expect(await opened.command(["ZCARD", cancelled])).toBe(1); // what is over is forgotten
  });
});
