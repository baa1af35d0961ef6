import { expect, it } from "vitest";
import { bindingKey } from "./binding-key.ts";

it.each([
  [">", "*.*.#"],
  ["*", "*.*"],
  ["orders.>", "*.orders.*.#"],
  ["orders.*.placed", "*.orders.*.placed"],
])("%s is bound by %s", (pattern, key) => {
  expect(bindingKey(pattern)).toBe(key);
});
