import { describe, expect, it } from "vitest";
import { Credit } from "./credit.ts";

describe("credit", () => {
  it("is what the window leaves, by messages and by bytes", () => {
    const credit = new Credit({ messages: 3, bytes: 100 });
    credit.take(60);
    expect([credit.messages, credit.bytes]).toEqual([2, 40]);
    credit.take(60); // passed by one message
    expect([credit.messages, credit.bytes]).toEqual([0, 0]);
    credit.give(60);
    expect([credit.messages, credit.bytes]).toEqual([2, 40]);
    credit.window = { messages: 0, bytes: 0 };
    expect([credit.messages, credit.outstanding]).toEqual([0, 1]);
  });

  it("asks for few before it knows how large messages are, then for as many as fit", () => {
    const credit = new Credit({ messages: 1_000, bytes: 10_000 });
    expect(credit.step).toBe(16);
    credit.take(100);
    expect(credit.step).toBe(99);
    for (let taken = 0; taken < 50; taken += 1) {
      credit.take(5_000);
      credit.give(5_000);
    }
    expect(credit.step).toBe(1);
  });
});
