import { expect, it } from "vitest";
import { Names } from "./names.ts";

it("puts schema and prefix in front of tables and functions, whatever characters they have", () => {
  const names = new Names("public", 'my-"app"');
  expect(names.fill("SELECT {1:append}(1) FROM {letter_gone} WHERE a = '{1,2}'")).toBe(
    `SELECT "public"."my-""app""_1_append"(1) FROM "public"."my-""app""_letter_gone" WHERE a = '{1,2}'`,
  );
  expect(() => new Names("public", "ü".repeat(21))).toThrow("at most 40 bytes");
  for (const bad of ["a\0", "a$create$"]) expect(() => new Names("public", bad)).toThrow("NUL");
});

it("has locks of its own, 64 bits wide, with room for a partition in each", () => {
  const one = new Names("public", "one");
  const all = [
    ...(["append", "claim", "group"] as const).flatMap((kind) => [1, 2, 65_535].map((id) => one.lock(kind, id))),
    new Names("public", "other").lock("append", 1),
    new Names("publico", "ne").lock("append", 1),
  ].map(BigInt);
  expect(new Set(all.map((lock) => lock >> 12n)).size).toBe(11);
  for (const lock of all) {
    expect(lock & 0xfffn).toBe(0n);
    expect(BigInt.asIntN(64, lock)).toBe(lock);
  }
});

it("has channels of 63 bytes at most, one for each process and one for all", () => {
  const names = new Names("public", "x".repeat(40));
  expect(names.channel(undefined)).toMatch(/^o_[0-9a-f]{8}_e$/);
  expect(names.channel(9_007_199_254_740_991).length).toBeLessThan(63);
});
