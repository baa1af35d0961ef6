import { describe, expect, it } from "vitest";
import type { RedisMessage } from "./message.ts";
import { Part } from "./part.ts";

const message = (key: string | undefined, notBefore?: number): RedisMessage => ({ key, notBefore }) as RedisMessage;

describe("a partition that is owned", () => {
  it("is drained when all that is left waits for its time, or behind such a one of its key", () => {
    const part = new Part("s:a:0");
    const [first, second, other] = [message("k"), message("k"), message("other")];
    expect(part.drained(0, [])).toBe(true);
    expect(part.drained(0, [first, second])).toBe(false);
    part.waits(first, 1_000);
    expect(part.drained(0, [first, second])).toBe(true);
    expect(part.drained(0, [first, second, other])).toBe(false);
    expect(part.drained(0, [second, first])).toBe(false);
    expect(part.drained(990, [first, second])).toBe(false);
    part.settled(first);
    expect(part.drained(0, [second])).toBe(false);
    expect(part.drained(0, [message(undefined, 500), message("x", 500)])).toBe(true);
    expect(part.drained(0, [message(undefined, 500), message(undefined)])).toBe(false);
  });

  it("is not drained while an answer may bring more of it", () => {
    const part = new Part("s:a:0");
    part.asked = true;
    expect(part.drained(0, [])).toBe(false);
  });

  it("is read while there may be something, within its bound, until another is to have it", () => {
    const part = new Part("s:a:0");
    expect(part.open).toBe(true);
    part.most = 1;
    part.outstanding = 1;
    expect(part.open).toBe(false);
    part.most = 2;
    expect(part.open).toBe(true);
    part.draining = true;
    expect(part.open).toBe(false);
  });
});
