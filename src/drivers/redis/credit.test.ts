import { describe, expect, it } from "vitest";
import { SizedCredit } from "./credit.ts";

describe("credit", () => {
  it("asks for few before it knows how large messages are, then for as many as fit", () => {
    const credit = new SizedCredit({ messages: 1_000, bytes: 10_000 });
    expect(credit.step).toBe(16);
    credit.take(100);
    expect(credit.step).toBe(99);
    for (let taken = 0; taken < 50; taken += 1) {
      credit.take(5_000);
      credit.give(5_000);
    }
    expect(credit.step).toBe(1);
    credit.take(9_800);
    expect(credit.step).toBe(1);
  });
});
