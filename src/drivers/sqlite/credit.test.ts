import { describe, expect, it } from "vitest";
import { Credit } from "./credit.ts";

describe("a window", () => {
  it("has room for so many messages", () => {
    const credit = new Credit({ messages: 2, bytes: 100 });
    credit.take(1);
    expect(credit.messages).toBe(1);
    credit.take(1);
    expect(credit.messages).toBe(0);
    credit.give(1);
    expect([credit.messages, credit.outstanding]).toEqual([1, 1]);
  });

  it("may be passed in bytes by one message, and is closed then", () => {
    const credit = new Credit({ messages: 10, bytes: 100 });
    credit.take(99);
    expect([credit.messages, credit.bytes]).toEqual([9, 1]);
    credit.take(5_000);
    expect([credit.messages, credit.bytes]).toEqual([0, 0]);
  });

  it("pauses at 0, and below what is out", () => {
    const credit = new Credit({ messages: 5, bytes: 100 });
    for (let n = 0; n < 4; n += 1) credit.take(1);
    credit.window = { messages: 2, bytes: 100 };
    expect(credit.messages).toBe(0);
    credit.window = { messages: 0, bytes: 0 };
    expect(credit.messages).toBe(0);
  });
});
