import { describe, expect, it } from "vitest";
import { turns } from "../../../test/support/driver-harness.ts";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { StateWatch } from "./state-watch.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function start(): {
  readonly clock: ManualClock;
  readonly watch: StateWatch;
  readonly abort: AbortController;
  readonly next: () => Promise<string>;
} {
  const clock = new ManualClock();
  const abort = new AbortController();
  const watch = new StateWatch(clock, abort.signal);
  const changes = watch.changes()[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const { done, value } = await changes.next();
    if (done === true) return "ended";
    return `${value.key} ${value.revision} ${value.value === undefined ? "-" : new TextDecoder().decode(value.value)}`;
  };
  return { clock, watch, abort, next };
}

describe("a watch of the state", () => {
  it("gives a slow reader the latest of each key, and no end of what it never saw", async () => {
    const { watch, next } = start();
    watch.take("a", 1, bytes("1"), Infinity);
    watch.take("b", 2, bytes("2"), Infinity);
    watch.take("a", 3, bytes("3"), Infinity);
    watch.take("c", 4, bytes("4"), Infinity);
    watch.take("c", 5, undefined, Infinity);
    expect([await next(), await next()]).toEqual(["b 2 2", "a 3 3"]);
    watch.take("b", 6, undefined, Infinity);
    expect(await next()).toBe("b 6 -");
  });

  it("says when a lifetime ends, with one timer while it waits and none afterwards", async () => {
    const { clock, watch, next } = start();
    watch.take("over", 1, bytes("x"), clock.now());
    watch.take("a", 2, bytes("1"), clock.now() + 1_000);
    expect(await next()).toBe("a 2 1");
    const ending = next();
    await turns();
    expect(clock.timers).toBe(1);
    watch.take("a", 3, bytes("2"), clock.now() + 2_000);
    expect(await ending).toBe("a 3 2");
    const later = next();
    await turns();
    clock.advance(1_999);
    await turns();
    expect(clock.timers).toBe(1);
    clock.advance(1);
    expect(await later).toBe("a 3 -");
    expect(clock.timers).toBe(0);
  });

  it("ends with its signal, and throws what it was ended with after what there was", async () => {
    const aborted = start();
    const waiting = aborted.next();
    await turns();
    aborted.abort.abort();
    expect(await waiting).toBe("ended");
    const { watch, next } = start();
    watch.take("a", 1, bytes("1"), Infinity);
    watch.end(new Error("closed"));
    watch.end(new Error("again"));
    expect(await next()).toBe("a 1 1");
    await expect(next()).rejects.toThrow("closed");
  });

  it("keeps 200,000 keys, of which some end", async () => {
    const { clock, watch, next } = start();
    const count = 200_000;
    for (let key = 0; key < count; key += 1) watch.take(`k${key}`, key + 1, bytes("x"), Infinity);
    watch.take("ending", count + 1, bytes("x"), clock.now() + 1_000);
    for (let taken = 0; taken <= count; taken += 1) await next();
    const later = next();
    await turns();
    clock.advance(1_000);
    expect(await later).toBe(`ending ${count + 1} -`);
  });

  it("a key that is given more time again and again costs no more than one", async () => {
    const { clock, watch, next } = start();
    const hourMs = 3_600_000;
    for (let revision = 1; revision <= 1_000; revision += 1) {
      watch.take("a", revision, bytes("x"), clock.now() + hourMs + revision);
      expect(await next()).toBe(`a ${revision} x`);
    }
    const later = next();
    await turns();
    clock.advance(hourMs + 999);
    await turns();
    expect(clock.timers).toBe(1);
    clock.advance(1);
    expect(await later).toBe("a 1000 -");
  });
});
