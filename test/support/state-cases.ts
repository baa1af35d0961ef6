import { expect } from "vitest";
import type { StateStore, StoredMessage } from "../../src/driver.ts";
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
