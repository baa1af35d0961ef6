import { sign } from "node:crypto";
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import type { ConnectionOptions } from "node:tls";
import { connect } from "@nats-io/transport-node";
import { describe, expect, it } from "vitest";
import type { Broker } from "../../scripts/brokers/broker.ts";
import type { BrokerName } from "../../scripts/brokers/broker-name.ts";
import { type Certificates, makeCertificates } from "../../scripts/brokers/certificates.ts";
import { testUser } from "../../scripts/brokers/nats-keys.ts";
import { redisCommand } from "../../scripts/brokers/redis-command.ts";
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import { until } from "../../src/testing/until.ts";
import { temporaryFolder } from "../support/fake-executable.ts";
import { checkLoopback } from "../support/check-loopback.ts";
import { LineSocket } from "../support/line-socket.ts";
import { NatsLines } from "../support/nats-lines.ts";
import { hasBroker, testBroker } from "../support/test-broker.ts";
import { hands, portOf } from "./hands.ts";

const older = await testBroker("nats", { release: "2.10", own: true });
const has: Record<BrokerName, boolean> = {
  nats: await hasBroker("nats"),
  redis: await hasBroker("redis"),
  postgres: await hasBroker("postgres"),
  rabbitmq: await hasBroker("rabbitmq"),
  kafka: await hasBroker("kafka"),
};

interface Files {
  readonly ca?: string;
  readonly pair?: { readonly cert: string; readonly key: string };
}
function tlsOf({ ca, pair }: Files): ConnectionOptions {
  const text = (path: string): string => readFileSync(path, "utf8");
  return {
    ...(ca === undefined ? {} : { ca: text(ca) }),
    ...(pair === undefined ? {} : { cert: text(pair.cert), key: text(pair.key) }),
  };
}

/** What a url of it begins with. */
const schemes: Record<BrokerName, string> = {
  nats: "tls:",
  redis: "rediss:",
  postgres: "postgres:",
  rabbitmq: "amqps:",
  kafka: "kafkas:",
};

describe.each(["nats", "redis", "postgres", "rabbitmq", "kafka"] as const)("%s over TLS", (name) => {
  const { ask, timeout } = hands[name];
  const asks = async (broker: Broker, files: (all: Certificates) => Files): Promise<void> => {
    if (broker.certificates === undefined) throw new Error("it has no certificates");
    await ask(portOf(broker), tlsOf(files(broker.certificates)));
  };

  it.runIf(has[name])(
    "answers who trusts its authority, is trusted by nobody else, and speaks nothing plain",
    async () => {
      await using broker = await startBroker(name, { variant: "tls" });
      expect(new URL(broker.url).protocol).toBe(schemes[name]);
      await checkLoopback(broker);
      await asks(broker, ({ ca }) => ({ ca }));
      await expect(asks(broker, ({ otherCa }) => ({ ca: otherCa }))).rejects.toThrow(/unable to verify|self-signed/);
      await expect(asks(broker, () => ({}))).rejects.toThrow(/unable to verify|self-signed/);
      await expect(ask(portOf(broker))).rejects.toThrow(/closed|ECONNRESET|EPIPE|no pg_hba.conf entry/);
    },
    timeout,
  );

  it.runIf(has[name])(
    "mutual: wants a certificate of its own authority",
    async () => {
      await using broker = await startBroker(name, { variant: "mtls" });
      await asks(broker, ({ ca, client }) => ({ ca, pair: client }));
      const refused = /certificate|unknown ca|closed|ECONNRESET|EPIPE/;
      await expect(asks(broker, ({ ca }) => ({ ca }))).rejects.toThrow(refused);
      await expect(asks(broker, ({ ca, stranger }) => ({ ca, pair: stranger }))).rejects.toThrow(refused);
    },
    timeout,
  );

  it.runIf(has[name])(
    "shows an expired certificate, and one for another host",
    async () => {
      await using expired = await startBroker(name, { variant: "tls-expired" });
      await expect(asks(expired, ({ ca }) => ({ ca }))).rejects.toThrow("certificate has expired");
      await using elsewhere = await startBroker(name, { variant: "tls-wrong-host" });
      await expect(asks(elsewhere, ({ ca }) => ({ ca }))).rejects.toThrow(/does not match|not in the cert's list/);
    },
    timeout,
  );
});

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;
it.runIf(hasOpenssl)("makes certificates that openssl accepts when it is strict", () => {
  const folder = temporaryFolder();
  rmSync(folder, { recursive: true });
  const files = makeCertificates(folder);
  const verify = (ca: string, path: string): string =>
    spawnSync("openssl", ["verify", "-x509_strict", "-CAfile", ca, path], { encoding: "utf8" }).stdout.trim();
  for (const { cert } of [files.server, files.client, files.wrongHost])
    expect(verify(files.ca, cert)).toBe(`${cert}: OK`);
  expect(verify(files.ca, files.expired.cert)).not.toContain("OK");
  expect(verify(files.ca, files.stranger.cert)).not.toContain("OK");
  expect(verify(files.otherCa, files.stranger.cert)).toContain("OK");
});

describe.runIf(has.nats)("nats", () => {
  const signed = (nonce = ""): string => sign(null, Buffer.from(nonce), testUser.privateKey).toString("base64url");

  it.skipIf(older === undefined)("of the lowest release that works is one of that release", async () => {
    using nats = await NatsLines.connect(older?.servers[0]?.port ?? 0);
    expect([nats.info.version, older?.label]).toEqual([expect.stringMatching(/^2\.10\./), "nats@2.10"]);
  });

  it("has JetStream, unless it is told to have none", async () => {
    await using plain = await startBroker("nats", { own: true });
    await using without = await startBroker("nats", { variant: "no-jetstream" });
    using one = await NatsLines.connect(portOf(plain));
    using other = await NatsLines.connect(portOf(without));
    expect([one.info.jetstream, other.info.jetstream]).toEqual([true, undefined]);
  });

  it("cluster: three servers keep what is kept, and are one again after one or all were killed", async () => {
    await using broker = await startBroker("nats", { variant: "cluster" });
    const [first, second, third] = broker.servers;
    if (first === undefined || second === undefined || third === undefined) throw new Error("three servers");
    const asks = async (port: number, subject: string, body: string): Promise<string> => {
      const client = await connect({ servers: `127.0.0.1:${port}`, reconnect: false });
      try {
        return (await client.request(subject, body, { timeout: 2_000 })).string();
      } finally {
        await client.close();
      }
    };
    const stream = JSON.stringify({ name: "s", subjects: ["s"], storage: "file", num_replicas: 3 });
    const made = await asks(second.port, "$JS.API.STREAM.CREATE.s", stream);
    expect(made).toContain('"did_create":true');
    const stores = (port: number): Promise<boolean> =>
      asks(port, "s", "kept").then(
        (answer) => answer.includes('"stream":"s"'),
        () => false, // no leader, no answer
      );
    await until(() => stores(third.port), "a leader");
    await first.kill();
    expect([await first.state(), await third.state()]).toEqual(["down", "running"]);
    await until(() => stores(third.port), "another leader", 15_000);
    await broker.kill();
    await broker.start();
    let info = "";
    const current = (): Promise<boolean> =>
      asks(first.port, "$JS.API.STREAM.INFO.s", "").then(
        (answer) => (info = answer).match(/"current":true/g)?.length === 2,
        () => false,
      );
    await until(current, "the two others to follow its leader", 15_000);
    expect(Number(/"messages":(\d+)/.exec(info)?.[1])).toBeGreaterThanOrEqual(2);
  });

  it.each([
    ["password", () => ({ user: "omnibus", pass: "secret" }), () => ({ user: "omnibus", pass: "wrong" })],
    ["token", () => ({ auth_token: "omnibus-token" }), () => ({ auth_token: "wrong" })],
    [
      "nkey",
      (nonce?: string) => ({ nkey: testUser.publicKey, sig: signed(nonce) }),
      () => ({ nkey: testUser.publicKey, sig: signed("another") }),
    ],
  ] as const)("%s: lets in who has it, and nobody else", async (variant, right, wrong) => {
    await using broker = await startBroker("nats", { variant });
    const port = portOf(broker);
    using nats = await NatsLines.connect(port, ({ nonce }) => right(nonce));
    await nats.ping();
    await expect(NatsLines.connect(port, () => wrong())).rejects.toThrow("Authorization Violation");
    await expect(NatsLines.connect(port)).rejects.toThrow("Authorization Violation");
  });

  it("credentials: lets in who has the file, with JetStream", async () => {
    await using broker = await startBroker("nats", { variant: "credentials" });
    const text = broker.login?.credentials ?? "";
    const [, jwt = ""] = text.split("\n");
    expect(text).toContain(testUser.seed);
    using nats = await NatsLines.connect(portOf(broker), ({ nonce }) => ({ jwt, sig: signed(nonce) }));
    const stream = JSON.stringify({ name: "s", subjects: ["s"], storage: "file" });
    expect(await nats.request("$JS.API.STREAM.CREATE.s", stream)).toContain('"did_create":true');
    await expect(NatsLines.connect(portOf(broker), () => ({ jwt, sig: signed("another") }))).rejects.toThrow("-ERR");
  });
});

describe.runIf(has.redis)("redis", () => {
  it("password: lets in its user, and nobody else", async () => {
    await using broker = await startBroker("redis", { variant: "password" });
    const { username, password } = new URL(broker.url);
    expect(broker.login).toEqual({ user: username, password });
    using socket = LineSocket.plain(portOf(broker));
    socket.send("PING", `AUTH ${username} wrong`, `AUTH ${username} ${password}`, "PING");
    const replies = [await socket.next(), await socket.next(), await socket.next(), await socket.next()];
    expect(replies).toEqual([expect.stringMatching(/^-NOAUTH/), expect.stringMatching(/^-WRONGPASS/), "+OK", "+PONG"]);
  });

  it("no-append: forgets when it is restarted", async () => {
    await using broker = await startBroker("redis", { variant: "no-append" });
    await redisCommand(portOf(broker), "SET", "kept", "1");
    await broker.kill();
    await broker.start();
    expect(await redisCommand(portOf(broker), "GET", "kept")).toBe("$-1\r\n");
  });

  it("replica: the second server follows the first, and takes over when it is told to", async () => {
    await using broker = await startBroker("redis", { variant: "replica" });
    const [primary, replica] = broker.servers;
    if (primary === undefined || replica === undefined) throw new Error("two servers");
    await redisCommand(primary.port, "SET", "kept", "1");
    const follows = async (): Promise<boolean> => (await redisCommand(replica.port, "GET", "kept")) === "$1\r\n1\r\n";
    await until(follows, "the value at the replica");
    await expect(redisCommand(replica.port, "SET", "kept", "2")).rejects.toThrow("READONLY");
    await primary.kill();
    expect(await broker.state()).toBe("down");
    await redisCommand(replica.port, "REPLICAOF", "NO", "ONE");
    await redisCommand(replica.port, "SET", "kept", "2");
  });

  it("cluster: three servers share the slots, and are a cluster again after all were killed", async () => {
    await using broker = await startBroker("redis", { variant: "cluster" });
    const nodes = async (): Promise<string> => await redisCommand(portOf(broker), "CLUSTER", "NODES");
    const before = (await nodes()).match(/connected \d+-\d+/g);
    expect(before?.toSorted()).toEqual(["connected 0-5461", "connected 10923-16383", "connected 5462-10922"]);
    await redisCommand(broker.servers[2]?.port ?? 0, "SET", "foo", "1"); // slot 12182
    await expect(redisCommand(portOf(broker), "GET", "foo")).rejects.toThrow("MOVED 12182");
    await broker.kill();
    await broker.start();
    expect(await redisCommand(broker.servers[2]?.port ?? 0, "GET", "foo")).toBe("$1\r\n1\r\n");
  });
});
