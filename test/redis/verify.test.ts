import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterEach, describe, expect, it } from "vitest";
import { connect, defineEvent, typed, type Bus } from "../../src/index.ts";
import { redis as redisDriver } from "../../src/drivers/redis/index.ts";
import { until } from "../../src/testing/until.ts";
import { freshPrefix, redisContext } from "../support/redis-session.ts";
import { documentedRules, refusedTo } from "../support/redis-rights.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("redis");
const hasCli = await promisify(execFile)("redis-cli", ["--version"]).then(
  () => true,
  () => false,
);
const item = defineEvent("shop.item", { schema: typed<{ readonly n: number }>() });
const buses: Bus[] = [];

async function open(prefix: string, manage: "create" | "verify", login = {}): Promise<Bus> {
  const driver = redisDriver({ url: broker!.url, ...login });
  const bus = await connect({ driver, prefix, manage, connectTimeoutMs: 15_000 });
  buses.push(bus);
  return bus;
}

/** In a shell, as an operator would. */
async function run(line: string): Promise<void> {
  const { stdout } = await promisify(execFile)("sh", [
    "-c",
    line.replaceAll("redis-cli", `redis-cli -u ${broker!.url}`),
  ]);
  if (/^(ERR|\(error\)|WRONG|NO)/m.test(stdout)) throw new Error(`${line}: ${stdout}`);
}

/** What the error says to do. */
async function advice(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason as Error & { readonly code: string },
  );
  expect(error?.code).toBe("BUS_NOT_FOUND");
  const causes = [error!.message, String((error!.cause as Error | undefined)?.message)];
  return causes.flatMap((text) => text.split("or make it: ").slice(1))[0] ?? "";
}

afterEach(async () => {
  for (const bus of buses.splice(0)) await bus.close({ timeoutMs: 1_000 });
});

describe.skipIf(broker === undefined)("a bus that may create nothing on redis", () => {
  it.skipIf(!hasCli)("names what is missing with commands that make it", async () => {
    const prefix = freshPrefix();
    const own = await advice(open(prefix, "verify"));
    expect(own).toContain(`redis-cli HSET '{${prefix}}' layout 1 id`);
    await run(own);
    await expect(open(prefix, "verify")).rejects.toThrow('stream "events"');
    const driver = await redisDriver({ url: broker!.url }).connect(redisContext(prefix, { manage: "verify" }));
    const streams = await advice(driver.ensureStream({ name: "events", topics: [">"] }));
    await driver.close(AbortSignal.timeout(1_000));
    expect(streams).toContain(`'{${prefix}}:s:events'`);
    await run(streams);
    const bus = await open(prefix, "verify");
    await bus.publish(item, { n: 1 });
    const seen: number[] = [];
    const subscribe = (): Promise<unknown> => bus.subscribe(item, ({ data }) => void seen.push(data.n), { group: "g" });
    const group = await advice(subscribe());
    expect(group.match(/XGROUP CREATE/g)).toHaveLength(32);
    await run(group);
    await subscribe();
    await bus.send("g", item, { n: 2 });
    await until(
      () => seen.length === 2,
      () => `both; ${seen.join(" ")}`,
    );
    expect(seen.toSorted()).toEqual([1, 2]);
    const other = defineEvent("other.item", { schema: typed<{ readonly n: number }>() });
    await expect(bus.subscribe(other, () => undefined, { group: "g" })).rejects.toThrow("does not read other.item");
  });

  it("works with the rights that its page names, and no others", async () => {
    const prefix = freshPrefix();
    const creating = await open(prefix, "create");
    const subscription = await creating.subscribe(item, () => undefined, { group: "g", order: "none" });
    await subscription.unsubscribe();
    const ordered = await creating.subscribe(item, () => undefined, { group: "ordered", order: "group" });
    await ordered.unsubscribe();

    const client = creating.driver!.client as { sendCommand(args: readonly string[]): Promise<unknown> };
    const username = `limited-${prefix}`;
    await client.sendCommand(["ACL", "SETUSER", username, ...documentedRules(prefix)]);

    const bus = await open(prefix, "verify", { username, password: "secret" });
    const handled: string[] = [];
    const failing = { retry: { maxAttempts: 2, backoff: { baseMs: 1 } } } as const;
    for (const group of ["g", "ordered"])
      await bus.subscribe(
        item,
        ({ data }, { attempt }) => {
          if (data.n === 2 || (data.n === 1 && attempt === 1)) throw new Error("not yet");
          handled.push(`${group} ${data.n}`);
        },
        { group, order: group === "g" ? "none" : "group", ...failing },
      );
    const tail: number[] = [];
    await bus.subscribe(item, ({ data }) => void tail.push(data.n));
    for (const n of [0, 1, 2]) await bus.publish(item, { n }, { key: "k" });
    await bus.publish(item, { n: 3 }, { delayMs: 20 });
    await until(
      () => handled.length === 6 && tail.length === 4,
      () => `${handled.join()} and ${tail.join()}`,
    );
    expect(handled.toSorted()).toEqual(["g 0", "g 1", "g 3", "ordered 0", "ordered 1", "ordered 3"]);
    await until(async () => (await bus.deadLetters.count({})) === 2, "two letters");
    expect((await bus.deadLetters.replay({ group: "g" })).replayed).toBe(1);
    expect((await bus.groups.info("ordered")).members).toHaveLength(1);
    await bus.publish(item, { n: 9 }, { delivery: "at-most-once" });
    await until(() => tail.includes(9), "the one that is stored nowhere");
    expect(await refusedTo(client, username)).toEqual(["config|get"]);
    await expect(bus.groups.delete("g")).rejects.toMatchObject({ code: "BUS_AUTHENTICATION" });
  });
});
