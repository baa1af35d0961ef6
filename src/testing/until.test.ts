import { describe, expect, it } from "vitest";
import { quiet, silence, until, within } from "./until.ts";

describe("until", () => {
  it("resolves as soon as the condition holds", async () => {
    let looks = 0;
    await until(() => ++looks === 3, "three looks");
    expect(looks).toBe(3);
  });
  it("tells the last state when the deadline has passed", async () => {
    let looks = 0;
    await expect(
      until(
        () => ++looks < 0,
        () => `${looks} looks`,
        20,
      ),
    ).rejects.toThrow(/not within 20 ms: \d+ looks/);
  });
});

describe("silence", () => {
  it("complains of the first change", async () => {
    let count = 0;
    setTimeout(() => count++, 10);
    await expect(silence(() => count, "runs", 1_000)).rejects.toThrow("runs: 0, then 1");
  });
  it("resolves when nothing happened", async () => {
    await expect(silence(() => 7, "runs", 10)).resolves.toBeUndefined();
  });
});

describe("quiet", () => {
  it("resolves once nothing has happened for long enough", async () => {
    let count = 0;
    const timer = setInterval(() => (count += 1) === 5 && clearInterval(timer), 5);
    await quiet(() => count, "runs", 100);
    expect(count).toBe(5);
  });
  it("says what does not end", async () => {
    let count = 0;
    await expect(quiet(() => count++, "runs", 20, 60)).rejects.toThrow(/not within 60 ms: runs, \d+, to end/);
  });
});

describe("within", () => {
  it("gives the promise's own end", async () => {
    await expect(within(Promise.resolve(1), "one")).resolves.toBe(1);
    await expect(within(Promise.reject(new Error("own")), "one")).rejects.toThrow("own");
  });
  it("says what it waited for", async () => {
    await expect(within(new Promise(() => undefined), "never", 10)).rejects.toThrow("not within 10 ms: never");
  });
});
