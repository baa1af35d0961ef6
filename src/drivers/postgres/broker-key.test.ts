import { expect, it } from "vitest";
import { brokerKey } from "./broker-key.ts";

const hexOf = (id: string): string => Buffer.from(brokerKey(id)).toString("hex");
const version7 = "0190b5a2-0000-7abc-8def-0123456789ab";

it("is a UUID's own bytes, which keep the order of their texts", () => {
  expect(hexOf(version7)).toBe(version7.replaceAll("-", ""));
});

it("is 16 bytes of anything else, and different for what differs by a letter's case", () => {
  const others = [
    "a",
    "A",
    "",
    "x".repeat(10_000),
    version7.toUpperCase(),
    version7.replace("-", "0"),
    `é${version7.slice(1)}`,
  ];
  const keys = others.map(hexOf);
  expect(keys.every((key) => /^[0-9a-f]{12}f[0-9a-f]{19}$/.test(key))).toBe(true);
  expect(new Set([hexOf(version7), ...keys]).size).toBe(8);
});
