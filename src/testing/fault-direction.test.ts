import { describe, expect, it } from "vitest";
import { ProxiedEcho, untilClosed, untilSays } from "../../test/support/proxied-echo.ts";
import type { FaultOptions } from "./fault-direction.ts";
import { FaultProxy } from "./fault-proxy.ts";
import { randomFor } from "./settings.ts";
import { silence, until } from "./until.ts";

const echo = new ProxiedEcho();

describe("faults of one direction", () => {
  it("option: FaultOptions.latencyMs delays that direction, until it is taken off", async () => {
    const one = await echo.caller();
    echo.proxy.replies.set({ latencyMs: 60 });
    expect(await one.echoMs()).toBeGreaterThanOrEqual(60);
    echo.proxy.requests.set({ latencyMs: 50 });
    expect(await one.echoMs()).toBeGreaterThanOrEqual(110);
    echo.proxy.replies.set({ latencyMs: 3_600_000 });
    echo.proxy.requests.clear();
    one.socket.write("waits");
    await until(() => echo.target.text.endsWith("waits"), "the request");
    echo.proxy.replies.clear();
    await until(() => one.text.endsWith("waits"), "what was waiting", 1_000);
  });

  it("option: FaultOptions.jitterMs varies the latency and keeps the order", async () => {
    const late = (seed: number): boolean => randomFor("requests of connection 1", seed)() > 0.9;
    const seed = Array.from({ length: 1_000 }, (_, each) => each).find(late) ?? 0;
    await using seeded = await FaultProxy.start(echo.address, { seed });
    seeded.requests.set({ latencyMs: 50, jitterMs: 50 });
    const one = echo.dial(seeded);
    const from = performance.now();
    for (let n = 0; n < 10; n += 1) {
      one.socket.write(String(n));
      await new Promise(setImmediate);
    }
    await untilSays(one, "0123456789");
    expect(performance.now() - from).toBeGreaterThanOrEqual(90);
    one.socket.destroy();
  });

  it("option: FaultProxyOptions.seed repeats what jitterMs draws", async () => {
    await using seeded = await FaultProxy.start(echo.address, { seed: 7 });
    const one = echo.dial(seeded);
    seeded.replies.set({ jitterMs: 40 });
    const drawn = randomFor("replies of connection 1", 7);
    const least = Array.from({ length: 12 }, () => Math.max(0, (drawn() * 2 - 1) * 40));
    expect(least.filter((ms) => ms > 10).length).toBeGreaterThan(3);
    for (const ms of least) expect(await one.echoMs()).toBeGreaterThanOrEqual(ms);
    one.socket.destroy();
  });

  it("option: FaultProxyOptions.rewriteReply is what clients get instead, of answers alone", async () => {
    await using rewriting = await FaultProxy.start(echo.address, {
      rewriteReply: (reply, port) =>
        Buffer.from(Buffer.from(reply).toString().replace("00000", String(port).padStart(5, "0"))),
    });
    const one = echo.dial(rewriting);
    one.socket.write("at 00000");
    await untilSays(one, `at ${String(rewriting.port).padStart(5, "0")}`);
    expect(echo.target.text).toBe("at 00000");
    one.socket.destroy();
  });

  it("option: FaultOptions.bytesPerSecond limits that direction; 0 holds all of it until it is taken off", async () => {
    const one = await echo.caller();
    echo.proxy.replies.set({ bytesPerSecond: 10_000 });
    expect(await one.echoMs(2_000)).toBeGreaterThanOrEqual(200);
    echo.proxy.replies.set({ bytesPerSecond: 0 });
    const before = one.text.length;
    one.socket.end("held");
    await until(() => echo.target.text.endsWith("held"), "the request");
    await silence(() => one.text.length + Number(one.ended), "what is held", 50);
    echo.proxy.replies.clear();
    await until(() => one.text.length === before + 4 && one.ended, "what was held", 1_000);
    echo.proxy.requests.set({ bytesPerSecond: 0 });
    const silent = echo.dial();
    silent.socket.end();
    await until(() => echo.proxy.accepted === 2 && silent.socket.writableFinished, "the end to be sent");
    await silence(() => Number(silent.ended), "an end without data", 50);
    echo.proxy.requests.clear();
    await untilClosed(silent);
  });

  it("holds back a client that sends more than is passed on", async () => {
    const one = await echo.caller();
    echo.proxy.requests.set({ bytesPerSecond: 0 });
    const bytes = 20_000_000;
    one.socket.write("x".repeat(bytes));
    await until(() => echo.proxy.requests.receivedBytes > 60_000, "what fits");
    await silence(() => echo.proxy.requests.receivedBytes, "what was taken", 50);
    expect(echo.proxy.requests.receivedBytes).toBeLessThan(1_000_000);
    echo.proxy.requests.clear();
    await until(() => one.text.length === bytes, "the rest");
  });

  it("option: FaultOptions.sliceBytes writes in pieces of at most so many bytes", async () => {
    const one = await echo.caller();
    const before = echo.proxy.requests.writes;
    echo.proxy.requests.set({ sliceBytes: 3 });
    one.socket.write("0123456789");
    await untilSays(one, "0123456789");
    expect(echo.proxy.requests.writes - before).toBe(4);
    echo.proxy.requests.clear();
    one.socket.write("abc".repeat(100));
    await untilSays(one, `0123456789${"abc".repeat(100)}`);
    expect(echo.proxy.requests.writes - before).toBe(5);
  });

  it("option: FaultOptions.blackHole takes all and passes nothing, ends neither", async () => {
    const one = await echo.caller();
    const other = await echo.caller();
    echo.proxy.replies.set({ blackHole: true });
    one.socket.end("heard by the target");
    await until(() => echo.ends[0]?.closed === true, "the target's end");
    expect(echo.ends[0]?.text).toBe("xheard by the target");
    await silence(() => one.text.length + Number(one.ended), "the answer", 50);
    echo.proxy.replies.clear();
    await untilClosed(one, "ECONNRESET");
    expect(await other.echoMs()).toBeGreaterThan(0);
    expect(echo.proxy.replies.lostBytes).toBe("heard by the target".length);
  });

  it("hides the requests in a black hole, and takes as many as come", async () => {
    const one = await echo.caller();
    echo.proxy.requests.set({ blackHole: true });
    one.socket.write("x".repeat(1_000_000));
    await until(() => echo.proxy.requests.lostBytes === 1_000_000, "all to be swallowed");
    expect(echo.target.text).toBe("x");
  });

  it("option: FaultOptions.closeDelayMs delays the end and not what comes before it", async () => {
    const one = await echo.caller();
    echo.proxy.requests.set({ closeDelayMs: 80 });
    const from = performance.now();
    one.socket.end("last words");
    await untilSays(one, "last words");
    expect(echo.target.ended).toBe(false);
    await untilClosed(one);
    expect(performance.now() - from).toBeGreaterThanOrEqual(80);
    echo.proxy.requests.set({ closeDelayMs: 3_600_000 });
    const other = await echo.caller();
    other.socket.end();
    await until(() => other.socket.writableFinished, "the end to be sent");
    echo.proxy.requests.clear();
    await untilClosed(other);
  });

  it.each<[string, FaultOptions]>([
    ["latencyMs", { latencyMs: -1 }],
    ["bytesPerSecond", { bytesPerSecond: 0.5 }],
    ["sliceBytes", { sliceBytes: 0 }],
    ["blackhole", { blackhole: true } as FaultOptions],
  ])("refuses what %s cannot be, by name, and keeps the faults that are set", async (name, faults) => {
    echo.proxy.requests.set({ latencyMs: 30 });
    expect(() => echo.proxy.requests.set(faults)).toThrow(name);
    expect(await echo.dial().echoMs()).toBeGreaterThanOrEqual(30);
  });
});
