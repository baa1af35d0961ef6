import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { redisCommand } from "../../scripts/brokers/redis-command.ts";
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import { freePorts } from "../../scripts/brokers/free-ports.ts";
import { classify } from "../../src/drivers/redis/errors.ts";
import { redis as redisDriver } from "../../src/drivers/redis/index.ts";
import { Sender } from "../../src/drivers/redis/sender.ts";
import type { Session } from "../../src/drivers/redis/session.ts";
import { Streams } from "../../src/drivers/redis/streams.ts";
import { until as eventually } from "../../src/testing/index.ts";
import {
  connectTo,
  groupSpec,
  joinGroup,
  numbered,
  outgoing,
  publish,
  toTopic,
  until,
} from "../support/driver-harness.ts";
import { temporaryFolder } from "../support/fake-executable.ts";
import { freshPrefix, openSession } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const redis = await testBroker("redis", { own: true });
const closing: (() => unknown)[] = [];

/** A sentinel that decides alone, and soon. */
async function startSentinel(primary: number, ...more: readonly string[]): Promise<number> {
  const folder = temporaryFolder();
  const [port] = await freePorts(1, new Set());
  const lines = [
    `port ${port}`,
    "bind 127.0.0.1",
    `dir ${folder}`,
    `sentinel monitor shop 127.0.0.1 ${primary} 1`,
    "sentinel down-after-milliseconds shop 500",
    "sentinel failover-timeout shop 2000",
    ...more,
  ];
  writeFileSync(join(folder, "sentinel.conf"), `${lines.join("\n")}\n`);
  const child: ChildProcess = spawn(redis!.origin, [join(folder, "sentinel.conf"), "--sentinel"], { stdio: "ignore" });
  closing.unshift(() => child.kill("SIGKILL"));
  // one with a password can't be asked here, and need only answer
  const asked = more.length > 0 ? ["PING"] : ["SENTINEL", "REPLICAS", "shop"];
  const knows = async (): Promise<string> => redisCommand(port!, ...asked).catch((error: unknown) => String(error));
  await eventually(
    async () => /^(?!.*ECONNREFUSED).*(?:127\.0\.0\.1|NOAUTH)/s.test(await knows()),
    "the sentinel to know the replica",
  );
  return port!;
}

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

describe.skipIf(redis === undefined || redis.origin.includes("image"))("sentinels", () => {
  it(
    "option: RedisOptions.sentinel, RedisSentinelOptions.name, RedisSentinelOptions.nodes: name the primary, and the next one after it died",
    { timeout: 60_000 },
    async () => {
      await using broker = await startBroker("redis", { variant: "replica" });
      const [first, second] = broker.servers;
      const port = await startSentinel(first!.port);
      const sentinel = { name: "shop", nodes: ["127.0.0.1:1", `127.0.0.1:${port}`] };
      const options = { sentinel, leaseMs: 300, socketTimeoutMs: 1_000 };
      const session = await openSession("", freshPrefix(), { options: { ...options, url: undefined } });
      closing.unshift(() => session.close(AbortSignal.timeout(500)));
      await new Streams(session).ensure({ name: "events", topics: [">"] }, false);
      const sender = new Sender(session);
      const publish = async (text: string): Promise<string> => {
        const sent = outgoing(toTopic("a.b"), text);
        sender.send([sent.message]);
        await until(() => sent.outcome !== "waiting", "an answer");
        return sent.outcome;
      };
      expect(await publish("1")).toBe("stored");
      await eventually(
        async () => (await redisCommand(second!.port, "EXISTS", session.keys.key("s:events:0"))).includes(":1"),
        "the replica to have it",
      );
      await first!.kill();
      await eventually(async () => (await publish("2")) === "stored", "the new primary to take it", 30_000);
      expect(await redisCommand(second!.port, "ROLE")).toMatch(/master/);
    },
  );

  it(
    "lead a group to the promoted replica: what is in hand is acknowledged there, what was stored comes, an id is known again",
    { timeout: 60_000 },
    async () => {
      await using broker = await startBroker("redis", { variant: "replica" });
      const [first, second] = broker.servers;
      const port = await startSentinel(first!.port);
      const sentinel = { name: "shop", nodes: [`127.0.0.1:${port}`] };
      const prefix = freshPrefix();
      const driver = redisDriver({ sentinel, leaseMs: 60_000, pollMs: 200, socketTimeoutMs: 1_000 });
      const { connection } = await connectTo(driver, { prefix });
      closing.unshift(() => connection.close(AbortSignal.timeout(500)));
      await connection.ensureStream({ name: "events", topics: [">"], partitions: 2 });
      await connection.ensureGroup(groupSpec("g", { order: "group" }));
      const window = { messages: 3, bytes: 1_000 };
      const member = await joinGroup(connection, "g", window);
      const send = async (text: string): Promise<string> => {
        const [sent] = publish(connection, [text], { id: text, brokerId: text });
        await until(() => sent!.outcome !== "waiting", "an answer");
        return sent!.outcome;
      };
      for (const text of numbered(5)) expect(await send(text)).toBe("stored");
      await until(() => member.sink.messages.length === 3, "what it has room for");
      const held = async (at: number): Promise<string> =>
        (await redisCommand(at, "XPENDING", `{${prefix}}:s:events:0`, "g").catch(() => "")) +
        (await redisCommand(at, "XLEN", `{${prefix}}:s:events:0`));
      await eventually(async () => (await held(second!.port)) === (await held(first!.port)), "the replica to have it");
      await first!.kill();
      member.consumption.ack(member.sink.messages);
      const again = async (): Promise<string> => await send("5");
      await eventually(async () => (await again()) === "duplicate", "the new primary to know the id", 30_000);
      expect(await send("6")).toBe("stored");
      await until(() => member.sink.messages.length === 6, "the rest");
      expect(member.sink.texts).toEqual(numbered(6));
      member.consumption.ack(member.sink.messages.slice(3));
      await member.consumption.flush();
      const { waiting, inFlight } = (await connection.admin.groups())[0]!;
      expect([waiting, inFlight, member.sink.losses, member.sink.ends]).toEqual([0, 0, [], []]);
    },
  );

  it("that know no such primary, and none that answers, are said to", async () => {
    await using broker = await startBroker("redis", { variant: "replica" });
    const port = await startSentinel(broker.servers[0]!.port);
    const open = (name: string, node: string): Promise<unknown> =>
      openSession("", freshPrefix(), { options: { sentinel: { name, nodes: [node] }, url: undefined } });
    await expect(open("other", `127.0.0.1:${port}`)).rejects.toMatchObject({ code: "BUS_CONNECTION" });
    await expect(open("shop", "127.0.0.1:1")).rejects.toMatchObject({ code: "BUS_CONNECTION" });
  });

  it("option: RedisSentinelOptions.username, RedisSentinelOptions.password: are let in to", async () => {
    await using broker = await startBroker("redis", { variant: "replica" });
    const port = await startSentinel(
      broker.servers[0]!.port,
      "user default off",
      "user watcher on >secret +@all ~* &*",
    );
    const open = async (login: object): Promise<Session> => {
      const sentinel = { name: "shop", nodes: [`127.0.0.1:${port}`], ...login };
      return await openSession("", freshPrefix(), { options: { sentinel, url: undefined } });
    };
    const session = await open({ username: "watcher", password: "secret" });
    closing.unshift(() => session.close(AbortSignal.timeout(500)));
    expect(String(await session.command(["PING"]))).toBe("PONG");
    const refused = await open({ username: "watcher", password: "wrong" }).catch((error: unknown) => error);
    expect(classify(refused)).toEqual({ code: "BUS_AUTHENTICATION", retryable: false });
    expect(String(refused)).not.toMatch(/secret|wrong/);
  });

  it("that are asked by TLS are asked by TLS alone, and so is their primary", async () => {
    await using broker = await startBroker("redis", { variant: "tls" });
    const { ca, otherCa, server } = broker.certificates!;
    const folder = temporaryFolder();
    const [port] = await freePorts(1, new Set());
    const files = [`tls-cert-file ${server.cert}`, `tls-key-file ${server.key}`, `tls-ca-cert-file ${ca}`];
    const monitor = `sentinel monitor shop 127.0.0.1 ${broker.servers[0]!.port} 1`;
    const lines = ["port 0", `tls-port ${port}`, "tls-auth-clients no", "tls-replication yes", ...files];
    writeFileSync(
      join(folder, "sentinel.conf"),
      `${[...lines, "bind 127.0.0.1", `dir ${folder}`, monitor].join("\n")}\n`,
    );
    const child = spawn(redis!.origin, [join(folder, "sentinel.conf"), "--sentinel"], { stdio: "ignore" });
    closing.unshift(() => child.kill("SIGKILL"));
    const open = async (node: string, caFile: string): Promise<Session> => {
      const sentinel = { name: "shop", nodes: [node] };
      return await openSession("", freshPrefix(), { options: { sentinel, tls: { caFile }, url: undefined } });
    };
    let session: Session | undefined;
    await eventually(
      async () => (session = await open(`127.0.0.1:${port}`, ca).catch(() => undefined)) !== undefined,
      "the sentinel to answer",
    );
    closing.unshift(() => session?.close(AbortSignal.timeout(500)));
    expect(String(await session!.command(["PING"]))).toBe("PONG");
    await expect(open(`redis://127.0.0.1:${port}`, ca)).rejects.toMatchObject({ code: "BUS_CONNECTION" });
    const refused = await open(`rediss://127.0.0.1:${port}`, otherCa).catch((error: unknown) => error);
    expect(classify(refused)).toMatchObject({ code: "BUS_AUTHENTICATION" });
  });
});
