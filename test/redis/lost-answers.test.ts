import { describe, expect, it } from "vitest";
import { fetchScript } from "../../src/drivers/redis/scripts/fetch.ts";
import { FaultProxy } from "../../src/testing/index.ts";
import { randomFor, seed } from "../../src/testing/settings.ts";
import {
  groupSpec,
  joinGroup,
  outgoing,
  type TestConsumption,
  textOf,
  toTopic,
  until,
} from "../support/driver-harness.ts";
import { countsOf, has, RedisGroups, stored } from "../support/redis-groups.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const server = await RedisGroups.open(await testBroker("redis"));

describe.skipIf(server === undefined)("answers of redis that are lost to a member of an ordered group", () => {
  it("first the one with messages, then the one to their hand-back: they come, and in their order", async () => {
    const prefix = freshPrefix();
    const other = await server!.connection(prefix);
    await other.ensureGroup(groupSpec("g", { order: "group" }));
    await using proxy = await FaultProxy.start(server!.url);
    const one = await server!.connection(prefix, { url: proxy.url(server!.url), pollMs: 300 });
    const member = await joinGroup(one, "g");
    await stored(other, ["1"], { key: "k" });
    await has(member, 1);
    const fetched = proxy.swallowReply({ request: fetchScript.sha, reply: /[\s\S]*\ba\.b\b/ });
    const handedBack = fetched.then(() => proxy.swallowReply({ request: "elseif k > 0 then tell(group)" }));
    await stored(other, ["2", "3", "4"], { key: "k" });
    expect([await fetched, await handedBack]).toEqual([true, true]);
    await stored(other, ["5", "6"], { key: "k" });
    await has(member, 6);
    expect(member.sink.texts).toEqual(["1", "2", "3", "4", "5", "6"]);
    member.consumption.ack(member.sink.messages);
    await member.consumption.flush();
    expect(await countsOf(other)).toEqual([0, 0]);
  });

  it(
    "at any time, while members come and go: none is left out, and none comes before another one",
    {
      timeout: 60_000,
    },
    async () => {
      const random = randomFor("answers that are lost");
      const prefix = freshPrefix();
      await using proxy = await FaultProxy.start(server!.url);
      const other = await server!.connection(prefix);
      await other.ensureGroup(groupSpec("g", { order: "group" }));
      const open = (): ReturnType<RedisGroups["connection"]> =>
        server!.connection(prefix, { url: proxy.url(server!.url), pollMs: 300, leaseMs: 20_000 });
      const lines = [await open(), await open()];
      const window = { messages: 40, bytes: 1_000_000 };
      const faults = 40;
      let done = 0;
      const members: TestConsumption[] = [];
      const join = async (): Promise<void> => {
        const joined = await joinGroup(lines[members.length % 2]!, "g", window).catch(() => undefined);
        if (joined !== undefined) members.push(joined);
      };
      await join();
      await join();
      // that of a fetch, then one of those that come after the reconnect
      const loseAnswers = async (): Promise<void> => {
        if (await proxy.swallowReply({ request: fetchScript.sha, reply: /[\s\S]*\ba\.b\b/ }))
          await proxy.swallowReply({ request: "EVAL", nth: 1 + Math.floor(random() * 8) });
      };
      const handled = [-1, -1];
      const next = new Map<TestConsumption, number>();
      let sent = 0;
      const start = performance.now();
      let resetAt = start + 100;
      let joinAt = start + 700;
      while (done < faults || handled.some((last) => last < sent - 1)) {
        const now = performance.now();
        expect(now - start, `all to be handled (seed ${seed}); there were ${handled.join(", ")}`).toBeLessThan(45_000);
        if (done < faults) {
          const some = Array.from({ length: 8 }, (_, at) =>
            outgoing(toTopic("a.b"), String(sent + (at >> 1)), { hash: at % 2, key: `k${at % 2}` }),
          );
          other.send(some.map(({ message }) => message));
          sent += 4;
          await until(() => some.every(({ outcome }) => outcome === "stored"), "them to be stored");
        }
        if (now > resetAt && done < faults) {
          done += 1;
          if (random() < 0.3) proxy.reset();
          else void loseAnswers();
          resetAt = now + 60 + random() * 200;
        }
        if (now > joinAt && done < faults) {
          joinAt = now + 500;
          if (members.length > 2) await members.shift()!.consumption.close(AbortSignal.timeout(1_000));
          else await join();
        }
        for (const member of members) {
          const from = next.get(member) ?? 0;
          const some = member.sink.messages.slice(from, from + 10 + Math.floor(random() * 30));
          next.set(member, from + some.length);
          const ours = some.filter((message) => !(message as { readonly over?: boolean }).over);
          for (const message of ours) {
            const partition = message.key === "k0" ? 0 : 1;
            const number = Number(textOf(message));
            // again, when its acknowledgement did not come through; never before its turn
            expect(number, `seed ${seed}, partition ${partition}`).toBeLessThanOrEqual(handled[partition]! + 1);
            handled[partition] = Math.max(handled[partition]!, number);
          }
          member.consumption.ack(ours);
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
  );
});
