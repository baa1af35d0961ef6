import { expect, it } from "vitest";
import { until } from "../../src/testing/index.ts";
import { groupSpec, joinGroup } from "../support/driver-harness.ts";
import { key, RedisGroups, stored } from "../support/redis-groups.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const server = await RedisGroups.open(await testBroker("redis", { own: true }));

it.skipIf(server === undefined)(
  "a fetch that the server refused for a while leaves no partition that nobody reads",
  async () => {
    const prefix = freshPrefix();
    const [one, two] = [await server!.connection(prefix), await server!.connection(prefix)];
    await one.ensureGroup(groupSpec("g", { order: "group" }));
    const first = await joinGroup(one, "g");
    const idle = async (): Promise<unknown> => await server!.command("SCARD", key(prefix, "g:g:idle"));
    await until(async () => (await idle()) === 18, "all of its partitions to be read to their ends");
    const [seat] = await server!.seats(prefix);
    const refusals = async (): Promise<number> =>
      Number(/errorstat_NOREPLICAS:count=(\d+)/.exec(String(await server!.command("INFO", "errorstats")))?.[1] ?? 0);
    await server!.command("CONFIG", "SET", "min-replicas-to-write", "1");
    for (const ref of ["s:events:0", "s:events:1"]) {
      const before = await refusals();
      await server!.command("SPUBLISH", key(prefix, `c:${seat!.split("~")[1]}`), `w g ${ref}`);
      await until(async () => (await refusals()) > before, "a fetch to be refused");
    }
    await server!.command("CONFIG", "SET", "min-replicas-to-write", "0");
    const second = await joinGroup(two, "g");
    await stored(one, ["a"], { hash: 0 });
    await stored(one, ["b"], { hash: 1 });
    await until(
      () => first.sink.texts.length + second.sink.texts.length === 2,
      () => `both to be delivered: ${[...first.sink.texts, ...second.sink.texts].join(", ")}`,
    );
    expect([...first.sink.texts, ...second.sink.texts].toSorted()).toEqual(["a", "b"]);
  },
);
