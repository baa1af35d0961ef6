import { describe, expect, it, onTestFinished } from "vitest";
import { FaultProxy } from "../../src/testing/index.ts";
import { until, within } from "../../src/testing/until.ts";
import { freshPrefix, openSession } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const redis = await testBroker("redis");

describe.skipIf(redis === undefined)("a connection to redis that is closed while an answer is missing", () => {
  it.each([
    ["ends", (proxy: FaultProxy) => proxy.close()],
    ["is reset", async (proxy: FaultProxy) => proxy.reset()],
  ] as const)("is closed when its line %s, long before its time is up", async (_, cut) => {
    const proxy = await FaultProxy.start(redis!.url);
    onTestFinished(() => proxy.close());
    const session = await openSession(proxy.url(redis!.url), freshPrefix(), { options: { socketTimeoutMs: 60_000 } });
    proxy.replies.set({ blackHole: true });
    const { lostBytes } = proxy.replies;
    const asked = session.command(["PING"]).catch((error: unknown) => error);
    await until(() => proxy.replies.lostBytes > lostBytes, "the answer to be lost");
    const closed = session.close(new AbortController().signal);
    await cut(proxy);
    await within(closed, "the close", 5_000);
    expect(await within(asked, "the command", 5_000)).toBeInstanceOf(Error);
  });

  it("waits for the answer when it still comes", async () => {
    const proxy = await FaultProxy.start(redis!.url);
    onTestFinished(() => proxy.close());
    const session = await openSession(proxy.url(redis!.url), freshPrefix());
    proxy.replies.set({ latencyMs: 200 });
    const asked = session.command(["PING"]);
    await session.close(AbortSignal.timeout(5_000));
    expect(String(await asked)).toBe("PONG");
  });
});
