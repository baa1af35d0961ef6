import { expect } from "vitest";
import type { ScheduledMessage, StateStore, StoredMessage } from "../../src/driver.ts";
import { toTopic } from "./driver-harness.ts";

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (value: Uint8Array | undefined): string | undefined =>
  value === undefined ? undefined : new TextDecoder().decode(value);

export const stored = (id: string, notBefore?: number): StoredMessage => ({
  id,
  to: toTopic("a"),
  group: undefined,
  topic: "a",
  key: "k",
  headers: [["x", 'ü "quoted"\u2028']],
  body: bytes(id),
  storedAt: 7,
  notBefore,
});

export async function listed<Item>(items: AsyncIterable<Item>): Promise<readonly Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}

/** What every state store does alike, seen from two processes. */
export interface StatePair {
  readonly state: StateStore;
  readonly other: StateStore;
}

export async function checkRevisions({ state, other }: StatePair): Promise<void> {
  const first = await state.put("b", "k", bytes("1"), { expect: null });
  expect(first).toBeDefined();
  expect(await other.put("b", "k", bytes("2"), { expect: null })).toBeUndefined();
  expect(await other.put("b", "k", bytes("2"), { expect: "no revision" })).toBeUndefined();
  const second = await other.put("b", "k", bytes("2"), { expect: first! });
  expect(await state.put("b", "k", bytes("3"), { expect: first! })).toBeUndefined();
  expect(text((await state.get("b", "k"))?.value)).toBe("2");
  expect((await state.get("b", "k"))?.revision).toBe(second);
  expect(await state.get("c", "k")).toBeUndefined();
  expect(await state.delete("b", "k", first!)).toBe(false);
  expect(await state.delete("b", "k", second!)).toBe(true);
  expect(await state.delete("b", "k")).toBe(false);
  expect(await state.get("b", "k")).toBeUndefined();
  expect(await other.put("b", "k", bytes("4"), { expect: null })).toBeDefined();
}

export async function checkOneOfMany({ state, other }: StatePair): Promise<void> {
  const tries = await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      (n % 2 === 0 ? state : other).put("b", "k", bytes(String(n)), { expect: null }),
    ),
  );
  expect(tries.filter((revision) => revision !== undefined)).toHaveLength(1);
}

/** Of ids that nobody took, and one that somebody did: `taken`. */
export async function checkUntaken(state: StateStore, now: number): Promise<void> {
  const hour = 3_600_000;
  await state.schedule([stored("u3", now + 3 * hour), stored("u1", now + hour), stored("u2", now + 2 * hour)]);
  await state.schedule([stored("taken", now - 10)]);
  expect((await state.due(now, 1, 600_000)).map(({ id }) => id)).toEqual(["taken"]);
  await state.schedule([stored("taken", now + hour)]); // may be published by now: stays as it is
  const own = async (after: string | undefined, limit: number): Promise<readonly ScheduledMessage[]> =>
    (await state.scheduled(after, limit)).filter(({ id }) => id.startsWith("u") || id === "taken");
  const all = await own(undefined, 10);
  expect(all.map(({ id, topic }) => `${id} ${topic}`)).toEqual(["u1 a", "u2 a", "u3 a"]);
  expect(await state.unschedule(["u1", "none", "taken"], true)).toEqual(["u1"]);
  for (const later of [now - 10, now + hour]) await state.schedule([stored("u1", later)]); // a second try
  expect(await state.due(now, 10, 0)).toEqual([]);
  expect(await state.unschedule(["u1"], true)).toEqual([]);
  expect(await state.unschedule(["u1"])).toEqual([]);
  await state.schedule([stored("u1", now + hour)]);
  expect((await own(undefined, 10)).map(({ id }) => id)).toEqual(["u2", "u3"]);
  expect((await own(all[0]!.position, 1)).map(({ id }) => id)).toEqual(["u2"]);
  expect((await own(all[1]!.position, 10)).map(({ id }) => id)).toEqual(["u3"]);
  await state.schedule([stored("u3", now + hour)]); // takes its own place
  expect((await own(undefined, 10)).map(({ id }) => id)).toEqual(["u3", "u2"]);
  expect(await state.unschedule(["u3", "u2", "taken", "u3"], false)).toEqual(["u3", "u2", "taken"]);
  await state.schedule([stored("u2", now + hour)]); // what was moved may come again
  expect(await state.unschedule(["u2"])).toEqual(["u2"]);
  await expect(state.scheduled("nonsense", 1)).rejects.toMatchObject({ code: "BUS_INVALID_OPTION" });
}
