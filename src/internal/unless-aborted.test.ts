import { describe, expect, it } from "vitest";
import { endedUnlessAborted, unlessAborted } from "./unless-aborted.ts";

const never = new Promise<never>(() => undefined);

describe("unlessAborted", () => {
  it("ends with the work, well or not", async () => {
    const { signal } = new AbortController();
    expect(await unlessAborted(Promise.resolve(1), signal)).toBe(1);
    await expect(unlessAborted(Promise.reject(new Error("no")), signal)).rejects.toThrow("no");
    await endedUnlessAborted(Promise.reject(new Error("no")), signal);
  });

  it("ends with the signal, then or before, and a failure that comes later is nobody's", async () => {
    const { promise, reject } = Promise.withResolvers<void>();
    const controller = new AbortController();
    const waiting = [unlessAborted(promise, controller.signal), unlessAborted(never, controller.signal)];
    const ended = endedUnlessAborted(never, controller.signal);
    controller.abort(new Error("enough"));
    for (const each of waiting) await expect(each).rejects.toThrow("enough");
    await ended;
    reject(new Error("late"));
    await expect(unlessAborted(Promise.reject(new Error("late")), controller.signal)).rejects.toThrow("enough");
  });
});
