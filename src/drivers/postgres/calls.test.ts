import { expect, it } from "vitest";
import { Calls } from "./calls.ts";
import { NotSent } from "./link.ts";

it("runs one after the other, in order, a failed one too", async () => {
  const calls = new Calls<number>(() => 7);
  const steps: string[] = [];
  const run = (n: number) => async (): Promise<number> => {
    steps.push(`begins ${n}`);
    await new Promise((resolve) => setImmediate(resolve));
    steps.push(`ends ${n}`);
    if (n === 1) throw new Error("one");
    return n;
  };
  const all = Promise.allSettled([1, 2, 3].map((n) => calls.add(run(n))));
  expect(calls.askedAt).toBe(7);
  expect((await all).map(({ status }) => status)).toEqual(["rejected", "fulfilled", "fulfilled"]);
  expect(steps).toEqual([1, 2, 3].flatMap((n) => [`begins ${n}`, `ends ${n}`]));
  expect(calls.askedAt).toBeUndefined();
});

it("knows of what had not begun when it ends that it was never sent", async () => {
  const calls = new Calls<number>(() => 0);
  const { promise: forever } = Promise.withResolvers<number>();
  let begun = 0;
  const ask = (): Promise<number> => {
    begun += 1;
    return forever;
  };
  void calls.add(ask);
  const second = calls.add(ask);
  calls.end(new Error("lost"));
  await expect(second).rejects.toBeInstanceOf(NotSent);
  await expect(calls.add(ask)).rejects.toBeInstanceOf(NotSent);
  expect(begun).toBe(1);
});
