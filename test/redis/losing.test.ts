import { createClient, createCluster } from "redis";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { redisCommand } from "../../scripts/brokers/redis-command.ts";
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import type { RedisOptions } from "../../src/drivers/redis/options.ts";
import { resolveOptions } from "../../src/drivers/redis/options.ts";
import { Sender } from "../../src/drivers/redis/sender.ts";
import { Session } from "../../src/drivers/redis/session.ts";
import { Streams } from "../../src/drivers/redis/streams.ts";
import { FaultProxy } from "../../src/testing/index.ts";
import { numbered, outgoing, type Sent, toTopic, until } from "../support/driver-harness.ts";
import { freshPrefix } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const redis = await testBroker("redis", { own: true });
const closing: (() => Promise<unknown>)[] = [];

interface World {
  readonly session: Session;
  readonly sender: Sender;
  readonly said: string[];
}

async function world(options: RedisOptions, prefix = freshPrefix()): Promise<World> {
  const said: string[] = [];
  const session = await Session.open(resolveOptions({ leaseMs: 300, socketTimeoutMs: 2_000, ...options }), {
    name: "test",
    prefix,
    member: { id: "m", name: "m", host: "h", pid: 1, since: new Date(0), lastSeen: new Date(0), partitions: undefined },
    manage: "create",
    clock: systemClock,
    signal: new AbortController().signal,
    status: ({ type }) => void said.push(type),
    changed: () => void said.push("changed"),
    warn: (message) => void said.push(message),
  });
  session.listen({ up: () => said.push("up"), down: () => said.push("down"), flushed: () => said.push("flushed") });
  closing.push(() => session.close(AbortSignal.timeout(500)));
  await new Streams(session).ensure({ name: "events", topics: [">"] }, false);
  return { session, sender: new Sender(session), said };
}

function send({ sender }: World, texts: readonly string[]): readonly Sent[] {
  const sent = texts.map((text) => outgoing(toTopic("a.b"), text));
  sender.send(sent.map(({ message }) => message));
  return sent;
}
const answered = (sent: readonly Sent[], withinMs = 5_000): Promise<void> =>
  until(() => sent.every(({ outcome }) => outcome !== "waiting"), "all to be answered", withinMs);

async function stores(one: World): Promise<void> {
  let sent: readonly Sent[] = [];
  const end = performance.now() + 10_000;
  do {
    expect(performance.now()).toBeLessThan(end);
    sent = send(one, ["again"]);
    await answered(sent);
    if (sent[0]!.outcome !== "stored") await new Promise((resolve) => setTimeout(resolve, 20));
  } while (sent[0]!.outcome !== "stored");
}

afterEach(async () => {
  await redis?.resume().catch(() => undefined);
  for (const close of closing.splice(0)) await close();
});

describe.skipIf(redis === undefined)("losing the connection to redis", () => {
  it("a killed server: what was open is unknown, what comes then is not stored, and it goes on by itself", async () => {
    const one = await world({ url: redis!.url });
    const early = send(one, numbered(1_000));
    await redis!.kill();
    await answered(early);
    expect(new Set(early.map(({ outcome }) => outcome)).has("no")).toBe(false);
    await until(() => !one.session.isUp, "the loss to be seen");
    const late = send(one, ["x"]);
    await answered(late);
    expect(late.map(({ outcome }) => outcome)).toEqual(["no"]);
    await redis!.start();
    await stores(one);
    expect(one.said).toEqual(["disconnected", "down", "connected", "up"]);
  });

  it("option: RedisOptions.socketTimeoutMs: a server that is silent: unknown within the time that was set, and up again when it wakes", async () => {
    const one = await world({ url: redis!.url, socketTimeoutMs: 500 });
    await redis!.pause();
    const sent = send(one, numbered(10));
    const start = performance.now();
    await answered(sent);
    expect(performance.now() - start).toBeLessThan(2_000);
    expect(new Set(sent.map(({ outcome }) => outcome))).toEqual(new Set(["unknown"]));
    await redis!.resume();
    await stores(one);
  });

  it("a swallowed answer is unknown, and stored", async () => {
    await using proxy = await FaultProxy.start(redis!.url);
    const one = await world({ url: proxy.url(redis!.url) });
    await stores(one);
    const swallowed = proxy.swallowReply({ request: /swallowed/ });
    const sent = send(one, ["swallowed"]);
    expect(await swallowed).toBe(true);
    await answered(sent);
    expect(sent[0]!.outcome).toBe("unknown");
    await stores(one);
    const { session } = one;
    const entries = await session.command(["XRANGE", session.keys.key("s:events:0"), "-", "+"]);
    expect(entries?.toString()).toMatch(/swallowed/);
  });

  it("a line that is dead in one direction is given up", async () => {
    await using proxy = await FaultProxy.start(redis!.url);
    const one = await world({ url: proxy.url(redis!.url) });
    proxy.replies.set({ blackHole: true });
    const sent = send(one, ["x"]);
    await answered(sent, 3_000);
    expect(sent[0]!.outcome).toBe("unknown");
    await proxy.heal();
    await stores(one);
  });

  it("a flushed database is said, and is another one", async () => {
    const one = await world({ url: redis!.url });
    await redisCommand(redis!.servers[0]!.port, "FLUSHALL");
    const sent = send(one, ["x"]);
    await answered(sent);
    expect(sent[0]!.outcome).toBe("no");
    await until(() => one.said.includes("flushed"), "the flush to be said");
    await new Streams(one.session).ensure({ name: "events", topics: [">"] }, false);
    await stores(one);
  });

  it("a primary that becomes a replica is left, and found again", async () => {
    await using broker = await startBroker("redis", { variant: "replica" });
    const [first, second] = broker.servers.map(({ port }) => port);
    const one = await world({ url: broker.url });
    await redisCommand(first!, "REPLICAOF", "127.0.0.1", String(second));
    const sent = send(one, ["x"]);
    await answered(sent);
    expect(sent[0]!.outcome).toBe("no");
    await until(() => one.said.includes("disconnected"), "it to be left");
    await redisCommand(first!, "REPLICAOF", "NO", "ONE");
    await stores(one);
  });

  it("a full server refuses, and what it refused is certainly not stored", async () => {
    await using broker = await startBroker("redis", {});
    const one = await world({ url: broker.url });
    await redisCommand(broker.servers[0]!.port, "CONFIG", "SET", "maxmemory", "1");
    const sent = send(one, ["x"]);
    await answered(sent);
    expect([sent[0]!.outcome, String(sent[0]!.error)]).toEqual(["no", expect.stringMatching(/OOM/)]);
    await redisCommand(broker.servers[0]!.port, "CONFIG", "SET", "maxmemory", "0");
    await stores(one);
    expect(one.said).toEqual([]);
  });

  it("a subscriber that is cut off is made again", async () => {
    await using broker = await startBroker("redis", {});
    const one = await world({ url: broker.url });
    await redisCommand(broker.servers[0]!.port, "CLIENT", "KILL", "TYPE", "pubsub");
    await until(() => one.said.includes("up"), "it to be up again");
    await stores(one);
    expect(one.said).toEqual(["disconnected", "down", "connected", "up"]);
  });

  it("a changed password is said, and a password that is asked for is asked for again", async () => {
    await using broker = await startBroker("redis", {});
    const { port } = broker.servers[0]!;
    await redisCommand(port, "ACL", "SETUSER", "app", "on", ">first", "~*", "&*", "+@all");
    let password = "first";
    const one = await world({ url: broker.url, username: "app", password: () => password });
    await redisCommand(port, "ACL", "SETUSER", "app", "resetpass", ">second");
    await redisCommand(port, "CLIENT", "KILL", "USER", "app");
    await until(() => one.said.filter((each) => each === "disconnected").length === 2, "the refusal to be said");
    password = "second";
    await stores(one);
    expect(one.said).toEqual(["disconnected", "down", "disconnected", "connected", "up"]);
  });

  it("warns of a server that may lose or evict", async () => {
    await using broker = await startBroker("redis", { variant: "no-append" });
    await redisCommand(broker.servers[0]!.port, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru");
    const one = await world({ url: broker.url });
    expect(one.said.join()).toMatch(/maxmemory-policy is allkeys-lru.*appendonly is no/);
  });
});

describe.skipIf(redis === undefined)("a client of the user's", () => {
  it("option: RedisOptions.client: is shared, its settings stay, and it is never closed", async () => {
    const client = createClient({ url: redis!.url });
    client.on("error", () => undefined);
    await client.connect();
    try {
      const [one, two] = [await world({ client }), await world({ client })];
      await stores(one);
      await stores(two);
      await one.session.close(AbortSignal.timeout(500));
      expect(await client.ping()).toBe("PONG");
      await stores(two);
      await redis!.kill();
      const sent = send(two, ["x"]);
      await answered(sent);
      expect(["unknown", "no"]).toContain(sent[0]!.outcome);
      await redis!.start();
      await stores(two);
    } finally {
      client.destroy();
    }
  });

  it("that is not connected is refused", async () => {
    const client = createClient({ url: redis!.url });
    await expect(world({ client })).rejects.toMatchObject({ code: "BUS_CONNECTION" });
  });
});

describe.skipIf(redis === undefined)("a cluster", () => {
  it("option: RedisOptions.cluster: works over three nodes, by its urls and by a client", async () => {
    await using broker = await startBroker("redis", { variant: "cluster" });
    const cluster = broker.servers.map(({ port }) => `redis://127.0.0.1:${port}`);
    const one = await world({ cluster });
    await stores(one);
    const client = createCluster({ rootNodes: [{ url: cluster[0]! }] });
    await client.connect();
    const two = await world({ client });
    const sent = send(two, numbered(500));
    await answered(sent);
    expect(new Set(sent.map(({ outcome }) => outcome))).toEqual(new Set(["stored"]));
    const heard: string[] = [];
    one.session.onEvent("r", (process) => heard.push(process));
    const same = await world({ cluster }, one.session.context.prefix);
    await new Streams(same.session).ensure({ name: "more", topics: ["more.>"] }, false);
    await until(() => heard.includes(same.session.process), "the event to come");
    for (const close of closing.splice(0)) await close();
    client.destroy();
  });
});
