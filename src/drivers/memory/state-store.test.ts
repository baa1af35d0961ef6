import { describe, expect, it } from "vitest";
import { connectTo, turns, until } from "../../../test/support/driver-harness.ts";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { bytes, listed, text } from "../../../test/support/state-cases.ts";
import type { StateStore, StoredMessage } from "../../driver.ts";
import { memory } from "./index.ts";

async function start(): Promise<{ readonly clock: ManualClock; readonly state: StateStore }> {
  const clock = new ManualClock();
  const { connection } = await connectTo(memory(), { clock });
  return { clock, state: connection.state! };
}

function stored(id: string, notBefore?: number): StoredMessage {
  return {
    id,
    to: { kind: "queue", group: "g", topic: "t" },
    group: "g",
    topic: "t",
    key: undefined,
    headers: [],
    body: bytes(id),
    storedAt: 0,
    notBefore,
  };
}

const ids = (messages: readonly Pick<StoredMessage, "id">[]) => messages.map(({ id }) => id);

const keys = (state: StateStore, bucket: string, prefix: string): Promise<readonly string[]> =>
  listed(state.keys(bucket, prefix));

describe("key and value", () => {
  it("are kept by bucket, as they were put", async () => {
    const { state } = await start();
    const value = bytes("one");
    const revision = await state.put("b", "k", value, {});
    value[0] = 0;
    expect(text((await state.get("b", "k"))!.value)).toBe("one");
    expect((await state.get("b", "k"))!.revision).toBe(revision);
    expect(await state.get("c", "k")).toBeUndefined();
    for (const key of ["__proto__", "kb", "a"]) await state.put("b", key, value, {});
    expect(await keys(state, "b", "")).toEqual(["__proto__", "a", "k", "kb"]);
    expect(await keys(state, "b", "k")).toEqual(["k", "kb"]);
  });

  it("change only where what is expected holds", async () => {
    const { state } = await start();
    expect(await state.put("b", "k", bytes("1"), { expect: "7" })).toBeUndefined();
    const first = await state.put("b", "k", bytes("1"), { expect: null });
    expect(await state.put("b", "k", bytes("2"), { expect: null })).toBeUndefined();
    const second = await state.put("b", "k", bytes("2"), { expect: first! });
    expect(second).not.toBe(first);
    expect(await state.put("b", "k", bytes("3"), { expect: first! })).toBeUndefined();
    expect(await state.delete("b", "k", first!)).toBe(false);
    expect(await state.delete("b", "k", second!)).toBe(true);
    expect(await state.delete("b", "k")).toBe(false);
  });

  it("end with their time, and set no timer for it", async () => {
    const { state, clock } = await start();
    await state.put("b", "k", bytes("1"), { ttlMs: 1_000 });
    clock.advance(999);
    expect(await state.get("b", "k")).toBeDefined();
    expect(clock.timers).toBe(0);
    clock.advance(1);
    expect(await state.put("b", "k", bytes("2"), { expect: null, ttlMs: 1_000 })).toBeDefined();
    clock.advance(1_000);
    expect(await keys(state, "b", "")).toEqual([]);
    expect(await state.get("b", "k")).toBeUndefined();
  });
});

describe("watch", () => {
  it("gives current values, then changes, deletions and ends of lifetimes, until it is aborted", async () => {
    const { state, clock } = await start();
    await state.put("b", "k1", bytes("1"), { ttlMs: 5_000 });
    await state.put("b", "other", bytes("x"), {});
    const seen: (readonly [string, string | undefined])[] = [];
    const abort = new AbortController();
    let ended = false;
    const watching = (async () => {
      for await (const { key, value } of state.watch("b", "k", abort.signal)) seen.push([key, text(value)]);
      ended = true;
    })();
    await until(() => seen.length === 1, "the current value");
    await state.put("b", "k2", bytes("2"), { ttlMs: 1_000 });
    await until(() => seen.length === 2, "the change");
    await state.put("b", "other", bytes("y"), {});
    clock.advance(1_000);
    await until(() => seen.length === 3, "the end of its time");
    await state.delete("b", "k1");
    await until(() => seen.length === 4, "the deletion");
    expect(seen).toEqual([
      ["k1", "1"],
      ["k2", "2"],
      ["k2", undefined],
      ["k1", undefined],
    ]);
    abort.abort();
    await watching;
    expect(ended).toBe(true);
  });

  it("gives a slow reader the latest of each key", async () => {
    const { state } = await start();
    const abort = new AbortController();
    const changes = state.watch("b", "", abort.signal)[Symbol.asyncIterator]();
    const first = changes.next();
    for (let count = 0; count < 100; count += 1) {
      await state.put("b", "k", bytes(String(count)), {});
      await turns(1);
    }
    expect(text((await first).value!.value)).toBe("0");
    expect(text((await changes.next()).value!.value)).toBe("99");
    abort.abort();
    expect((await changes.next()).done).toBe(true);
  });
});

describe("scheduled messages", () => {
  it("are taken when due, oldest first, by one mover while its lease lasts", async () => {
    const { state, clock } = await start();
    await state.schedule([stored("b", 2_000), stored("a", 3_000), stored("c", 1_000)]);
    expect(ids(await state.due(500, 10, 1_000))).toEqual([]);
    expect(ids(await state.due(2_000, 1, 1_000))).toEqual(["c"]);
    expect(ids(await state.due(2_000, 10, 1_000))).toEqual(["b"]);
    expect(ids(await state.due(2_000, 10, 1_000))).toEqual([]);
    clock.advance(1_000);
    expect(ids(await state.due(2_000, 10, 1_000))).toEqual(["c", "b"]);
    expect(await state.unschedule(["c", "x"])).toEqual(["c"]);
    await state.schedule([stored("d", 3_000), stored("e", 2_500)]);
    const listed = await state.scheduled(undefined, 10);
    expect(ids(listed)).toEqual(["e", "a", "d"]); // b was given out
    expect(ids(await state.scheduled(listed[0]!.position, 1))).toEqual(["a"]);
    expect(await state.unschedule(["a", "b"], true)).toEqual(["a"]);
    expect(ids(await state.scheduled(listed[1]!.position, 10))).toEqual(["d"]);
    await state.schedule([stored("b", 9_000)]); // may be published by now: stays as it is
    expect(await state.unschedule(["b"], true)).toEqual([]);
    expect(await state.unschedule(["b"])).toEqual(["b"]);
    await state.schedule([stored("a", 3_000), stored("b", 3_000)]); // a was taken back, b was moved
    expect(ids(await state.scheduled(undefined, 10))).toEqual(["e", "d", "b"]);
    expect(await state.unschedule(["a", "b"], true)).toEqual(["b"]);
    clock.advance(119_999);
    await state.schedule([stored("a", 3_000)]);
    expect(ids(await state.scheduled(undefined, 10))).toEqual(["e", "d"]);
    clock.advance(1);
    await state.schedule([stored("a", 3_000)]);
    expect(ids(await state.scheduled(undefined, 10))).toEqual(["e", "d", "a"]);
  });
});
