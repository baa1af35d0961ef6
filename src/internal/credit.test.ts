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

  it("takes back what was given, as large as it was", () => {
    const credit = new Credit({ messages: 3, bytes: 100 });
    credit.take(60);
    credit.take(60);
    expect([credit.messages, credit.bytes, credit.hasRoom]).toEqual([0, 0, false]);
    credit.give(60);
    expect([credit.messages, credit.bytes, credit.hasRoom]).toEqual([2, 40, true]);
    credit.clear();
    expect([credit.messages, credit.bytes, credit.outstanding]).toEqual([3, 100, 0]);
  });

  it("has a message back once, however often it is acknowledged", () => {
    const credit = new Credit({ messages: 2, bytes: 100 });
    const [first, second] = [
      { over: false, size: 10 },
      { over: false, size: 20 },
    ];
    for (const { size } of [first, second]) credit.take(size);
    credit.acknowledge([first, first]);
    credit.acknowledge([first]);
    expect([credit.messages, credit.bytes, first.over, second.over]).toEqual([1, 80, true, false]);
  });

  it("pauses at 0, and below what is out", () => {
    const credit = new Credit({ messages: 5, bytes: 100 });
    for (let n = 0; n < 4; n += 1) credit.take(1);
    credit.window = { messages: 2, bytes: 100 };
    expect(credit.messages).toBe(0);
    expect(credit.paused).toBe(false);
    for (const window of [
      { messages: 0, bytes: 100 },
      { messages: 5, bytes: 0 },
    ]) {
      credit.window = window;
      expect([credit.messages, credit.hasRoom, credit.paused]).toEqual([0, false, true]);
    }
  });
});
