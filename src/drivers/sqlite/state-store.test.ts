import { describe, expect, it } from "vitest";
import { until } from "../../../test/support/driver-harness.ts";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { newWorld } from "../../../test/support/sqlite-world.ts";
import {
  bytes,
  checkOneOfMany,
  checkRevisions,
  checkUntaken,
  listed,
  type StatePair,
  stored,
  text,
} from "../../../test/support/state-cases.ts";

async function pair(): Promise<StatePair & { readonly clock: ManualClock }> {
  const world = newWorld();
  const clock = new ManualClock();
  return {
    clock,
    state: (await world.connect({ clock })).connection.state!,
    other: (await world.connect({ clock, streams: [] })).connection.state!,
  };
}

describe("the state store", () => {
  it("keeps values under revisions, and changes them only where the expected one holds", async () => {
    await checkRevisions(await pair());
  });

  it("lets one of many who want a key at once have it", async () => {
    await checkOneOfMany(await pair());
  });

  it("forgets a value when its time is up", async () => {
    const { clock, state } = await pair();
    await state.put("b", "k", bytes("1"), { ttlMs: 1_000 });
    clock.advance(999);
    expect(await state.get("b", "k")).toBeDefined();
    clock.advance(1);
    expect(await state.get("b", "k")).toBeUndefined();
    expect(await listed(state.keys("b", ""))).toEqual([]);
    expect(await state.put("b", "k", bytes("2"), { expect: null })).toBeDefined();
  });

  it("lists keys by prefix, whatever they are called, page by page", async () => {
    const { state } = await pair();
    const names = [
      ...Array.from({ length: 600 }, (_, n) => `a/${String(n).padStart(3, "0")}`),
      "a",
      "b%_",
      "__proto__",
      "é😀",
    ];
    await Promise.all(names.map((name) => state.put("b", name, bytes(name), {})));
    await state.put("other", "a/x", bytes(""), {});
    expect(await listed(state.keys("b", "a/"))).toEqual(names.slice(0, 600));
    expect(await listed(state.keys("b", ""))).toHaveLength(604);
    expect(await listed(state.keys("b", "__"))).toEqual(["__proto__"]);
    expect(await listed(state.keys("b", "é"))).toEqual(["é😀"]);
  });

  it("shows a watcher what there is, then every change, by whomever", async () => {
    const { clock, state, other } = await pair();
    await state.put("b", "a1", bytes("old"), {});
    await state.put("b", "a2", bytes("gone"), {});
    await state.delete("b", "a2");
    const controller = new AbortController();
    const seen: string[] = [];
    const watching = (async () => {
      for await (const { key, value } of state.watch("b", "a", controller.signal))
        seen.push(`${key} ${String(text(value))}`);
    })();
    await until(() => seen.length === 1, "what there is");
    await other.put("b", "a3", bytes("new"), { ttlMs: 60_000 });
    await other.put("b", "x", bytes("elsewhere"), {});
    await other.delete("b", "a1");
    await until(() => {
      clock.advance(5);
      return seen.length === 3;
    }, "the changes");
    clock.advance(60_000);
    await until(() => seen.length === 4, "the end of its time");
    expect(seen).toEqual(["a1 old", "a3 new", "a1 undefined", "a3 undefined"]);
    controller.abort();
    await watching;
  });

  it("gives what is due to one process at a time, and again after its lease", async () => {
    const { clock, state, other } = await pair();
    const now = clock.now();
    await state.schedule([stored("late", now + 5_000), stored("b", now - 1), stored("a", now - 2)]);
    expect((await state.due(now, 10, 1_000)).map(({ id }) => id)).toEqual(["a", "b"]);
    expect(await other.due(now, 10, 1_000)).toEqual([]);
    expect(await state.unschedule(["a", "none"])).toEqual(["a"]);
    expect((await other.due(now + 1_000, 10, 1_000)).map(({ id }) => id)).toEqual(["b"]);
    await checkUntaken(state, now);
    clock.advance(120_000);
    await state.schedule([stored("u1", now + 9_000)]);
    expect((await state.scheduled(undefined, 9)).map(({ id }) => id)).toEqual(["late", "u1"]); // free again
    clock.advance(-120_000);
    expect((await state.due(now + 9_000, 10, 1_000)).find(({ id }) => id === "late")).toEqual(
      stored("late", now + 5_000),
    );
  });
});
