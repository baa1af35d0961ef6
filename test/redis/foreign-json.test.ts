import { expect, it } from "vitest";
import { redis } from "../../src/drivers/redis/index.ts";
import { connect } from "../../src/index.ts";
import { until } from "../../src/testing/index.ts";
import { plainJson } from "../../src/wire.ts";
import { key, RedisGroups } from "../support/redis-groups.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const server = await RedisGroups.open(await testBroker("redis"));

it.skipIf(server === undefined)(
  "plain JSON that somebody else adds to a stream of ours is read by a mapping, and without one it is a letter",
  async () => {
    const prefix = freshPrefix();
    await using bus = await connect({
      driver: redis({ url: server!.url, pollMs: 50 }),
      prefix,
      streams: [{ name: "shop", topics: ["shop", "shop.>"], partitions: 1 }],
      wire: { foreign: [{ topics: "shop.mapped", format: plainJson({ name: "till" }) }] },
      retry: { maxAttempts: 1 },
    });
    const got: string[] = [];
    const handler = ({ topic, data }: { readonly topic: string; readonly data: unknown }): void =>
      void got.push(`${topic} ${JSON.stringify(data)}`);
    await bus.subscribePattern("shop.>", handler, { group: "g" });
    await bus.subscribePattern("shop.>", (event) => handler({ topic: `tail ${event.topic}`, data: event.data }));
    const add = (topic: string, body: string): Promise<unknown> =>
      server!.command("XADD", key(prefix, "s:shop:0"), "*", "t", topic, "k", "", "h", "", "b", body);
    await add("shop.mapped", '{"n":1}');
    await add("shop.other", '{"n":2}');
    await add("shop.mapped", '{"n":3}');
    await until(
      () => got.length >= 4,
      () => `both ways to have both: ${got.join(", ")}`,
    );
    expect(got.toSorted()).toEqual(
      ['shop.mapped {"n":1}', 'shop.mapped {"n":3}', 'tail shop.mapped {"n":1}', 'tail shop.mapped {"n":3}'].toSorted(),
    );
    await until(async () => (await bus.deadLetters.count({ group: "g" })) === 1, "the other one to be a letter");
    const { items } = await bus.deadLetters.list({ group: "g" });
    expect(Buffer.from(items[0]!.raw!).toString()).toBe('{"n":2}');
  },
);
