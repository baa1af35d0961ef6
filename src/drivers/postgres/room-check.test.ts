import { expect, it } from "vitest";
import { RoomCheck } from "./room-check.ts";

const large = { maxBytes: 2 ** 30, maxMessages: undefined };

it("looks first, then once a second while a large limit is far away", () => {
  const check = new RoomCheck();
  expect(check.due(large, 0)).toBe(true);
  check.looked(large, 10, 1_000, 0);
  expect([999, 1_000].map((now) => check.due(large, now))).toEqual([false, true]);
});

it("looks each time near a limit, of bytes or of messages", () => {
  const check = new RoomCheck();
  check.looked(large, 10, 0.81 * 2 ** 30, 0);
  expect(check.due(large, 1)).toBe(true);
  const counted = { maxBytes: 2 ** 30, maxMessages: 100_000 };
  check.looked(counted, 79_000, 1_000, 2);
  expect(check.due(counted, 3)).toBe(false);
  check.looked(counted, 81_000, 1_000, 4);
  expect(check.due(counted, 5)).toBe(true);
});

it.each([
  { maxBytes: 1_000_000, maxMessages: undefined },
  { maxBytes: 2 ** 30, maxMessages: 5 },
])("looks each time where the limit is small: %o", (limits) => {
  const check = new RoomCheck();
  check.looked(limits, 0, 0, 0);
  expect(check.due(limits, 1)).toBe(true);
});
