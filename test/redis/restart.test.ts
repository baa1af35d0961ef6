import { afterEach, describe, expect, it } from "vitest";
import { DirectLane } from "../../src/drivers/redis/direct-lane.ts";
import type { Session } from "../../src/drivers/redis/session.ts";
import { stateOf } from "../../src/drivers/redis/state-store.ts";
import { Streams } from "../../src/drivers/redis/streams.ts";
import { openTail } from "../../src/drivers/redis/tail.ts";
import { until, within } from "../../src/testing/until.ts";
import { outgoing, RecordingSink, type Sent, toDirect, wide } from "../support/driver-harness.ts";
import { freshPrefix, openSession } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const redis = await testBroker("redis", { own: true });
const options = { socketTimeoutMs: 400, blockMs: 300, leaseMs: 1_500 } as const;
const ends: { readonly session: Session; readonly lane: DirectLane }[] = [];

async function end(prefix: string): Promise<(typeof ends)[number]> {
  const session = await openSession(redis!.url, prefix, { options });
  const opened = { session, lane: new DirectLane(session) };
  ends.push(opened);
  return opened;
}

afterEach(async () => {
  for (const { lane, session } of ends.splice(0)) {
    await lane.close(AbortSignal.timeout(500));
    await session.close(AbortSignal.timeout(500));
  }
});

const faults = [
  ["was killed and started again", () => redis!.kill(), () => redis!.start()],
  ["was silent for longer than an answer may take", () => redis!.pause(), () => redis!.resume()],
] as const;

describe.skipIf(redis === undefined)("a server of redis that", () => {
  it.each(faults)(
    "%s has its tails, listeners and watches back, and nothing is left pending",
    async (_, fail, recover) => {
      const prefix = freshPrefix();
      const [here, other] = [await end(prefix), await end(prefix)];
      await new Streams(here.session).ensure({ name: "events", topics: [">"], partitions: 2 }, false);
      const add = (text: string): Promise<unknown> =>
        other.session.command([
          ...["XADD", other.session.keys.key("s:events:1"), "*"],
          ...["t", "a", "k", "", "h", "", "b", text],
        ]);
      const tailed = new RecordingSink();
      const from = { at: "newest" } as const;
      await openTail(here.session, { kind: "tail", stream: "events", from, resume: undefined }, tailed, wide);
      const direct = new RecordingSink();
      const listener = await here.lane.open({ kind: "direct", group: "g" }, direct, wide);
      await listener.wants(["a"], ["a"]);
      const inbox = new RecordingSink();
      const { address } = await here.lane.open({ kind: "inbox" }, inbox, wide);
      const controller = new AbortController();
      const seen: string[] = [];
      const watching = (async () => {
        for await (const { value } of stateOf(here.session).watch("b", "", controller.signal))
          seen.push(Buffer.from(value ?? []).toString());
      })();
      const state = stateOf(other.session);
      await add("1");
      await state.put("b", "k", Buffer.from("1"), {});
      await until(() => tailed.messages.length === 1 && seen.length === 1, "what came before");

      await fail();
      const under = [outgoing(toDirect("a"), "lost?", { replyTo: "r" }), outgoing(toDirect("a"), "lost?")];
      other.lane.send(under.map(({ message }) => message));
      const writing = state.put("b", "k", Buffer.from("?"), {}).catch(() => undefined);
      await within(writing, "the write to be given up", 5_000);
      await until(() => under.every(({ outcome }) => outcome !== "waiting"), "both to be given up");
      await until(() => !here.session.isUp && !other.session.isUp, "both to notice");
      expect(under.map(({ outcome }) => outcome)).not.toContain("stored");
      const wants = listener.wants(["a", "b"], ["a"]);
      await within(wants, "what can't be told now", 1_000);
      await recover();

      await until(() => here.session.isUp && other.session.isUp, "both to be back");
      await add("2");
      await state.put("b", "k", Buffer.from("2"), {});
      await until(
        () => tailed.texts.includes("2") && seen.includes("2"),
        () => `${tailed.texts.join()} ${seen.join()}`,
      );
      expect(tailed.texts).toEqual(["1", "2"]);
      expect(tailed.losses).toEqual([]);
      let sent: Sent | undefined;
      await until(() => {
        if (sent === undefined || sent.outcome === "no") {
          sent = outgoing(toDirect("b"), "again");
          other.lane.send([sent.message, outgoing({ kind: "inbox", address: address! }, "answer").message]);
        }
        return direct.texts.includes("again") && inbox.texts.includes("answer");
      }, "the listener and the inbox");
      controller.abort();
      await within(watching, "the watch to end");
    },
  );

  it("goes away for good leaves nothing pending when the connection is closed", async () => {
    const here = await end(freshPrefix());
    await new Streams(here.session).ensure({ name: "events", topics: [">"], partitions: 1 }, false);
    const tail = await openTail(
      here.session,
      { kind: "tail", stream: "events", from: { at: "oldest" }, resume: undefined },
      new RecordingSink(),
      wide,
    );
    const listener = await here.lane.open({ kind: "direct", group: undefined }, new RecordingSink(), wide);
    await listener.wants(["a"], []);
    const watch = stateOf(here.session).watch("b", "", new AbortController().signal)[Symbol.asyncIterator]();
    const next = watch.next();
    await redis!.pause();
    const asked = here.session.command(["PING"]).catch(() => "given up");
    const signal = AbortSignal.timeout(200);
    const closing = Promise.all([tail.stop(), tail.close(signal), listener.close(signal), here.lane.close(signal)]);
    await within(closing, "consumptions to close", 2_000);
    await within(here.session.close(AbortSignal.timeout(100)), "the session to close", 2_000);
    expect((await within(next, "the watch to end", 2_000)).done).toBe(true);
    await within(asked, "what was asked", 2_000);
    await redis!.resume();
  });
});
