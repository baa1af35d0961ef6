import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it, vi } from "vitest";
import { wantedBroker } from "../../scripts/brokers/broker-name.ts";
import { findBroker } from "../../scripts/brokers/find-broker.ts";
import { cacheFolder } from "../../scripts/brokers/folders.ts";
import { serversOf } from "../../scripts/brokers/kafka-cluster.ts";
import { KafkaWire } from "../../scripts/brokers/kafka-wire.ts";
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import { until } from "../../src/testing/until.ts";
import { brokersHome } from "../support/brokers-home.ts";
import { fakeExecutable } from "../support/fake-executable.ts";
import { makeTopic, topicExists } from "../support/kafka-asks.ts";
import { kafkaLogin } from "../support/kafka-login.ts";
import { checkLoopback } from "../support/check-loopback.ts";
import { testBroker } from "../support/test-broker.ts";
import { portOf } from "./hands.ts";
import { lifecycleOf } from "./lifecycle-cases.ts";

// Each start takes seconds: one broker for what can share it, no more variants than differ.
vi.setConfig({ testTimeout: 180_000 });

const home = brokersHome();
const plain = await testBroker("kafka", { own: true });
const older = await testBroker("kafka", { release: "4.1", variant: "scram-512", own: true });
const has = plain !== undefined;

lifecycleOf("kafka", plain, home);

it.skipIf(!has)("a Kafka listens on loopback alone, and its url says how", async () => {
  await checkLoopback(plain!);
  expect([plain!.url, plain!.login]).toEqual([`kafka://127.0.0.1:${portOf(plain!)}`, undefined]);
});

it.skipIf(!has)("a Kafka that was installed here starts with an archive of its classes", async ({ skip }) => {
  skip(!plain!.origin.startsWith(cacheFolder()));
  expect(await plain!.logs()).toContain("-XX:SharedArchiveFile=");
  expect(readdirSync(cacheFolder()).filter((name) => name.endsWith(".jsa"))).not.toEqual([]);
});

describe("where Kafka comes from", () => {
  it("is not taken from a path that has no Java", async () => {
    const wanted = wantedBroker("kafka");
    const folder = fakeExecutable("omnibus-fake-kafka", "exit 1");
    vi.stubEnv("PATH", folder);
    vi.stubEnv("XDG_CACHE_HOME", folder);
    vi.stubEnv("OMNIBUS_TEST_INSTALL", "0");
    const found = findBroker({ ...wanted, kind: { ...wanted.kind, executable: "omnibus-fake-kafka" } }, () => {});
    await expect(found).rejects.toThrow(
      /^kafka can't be had: \S+ does not tell its version; kafka is not run in containers; installing was not asked for\. Set OMNIBUS_TEST_INSTALL=1 to install kafka [\d.]+ by Maven, or set OMNIBUS_TEST_KAFKA_URL to its url$/,
    );
    vi.unstubAllEnvs();
    vi.stubEnv("OMNIBUS_BROKERS_DIR", home);
  });
});

const mechanisms = {
  password: "PLAIN",
  "scram-256": "SCRAM-SHA-256",
  "tls-password": "PLAIN",
  "tls-scram-512": "SCRAM-SHA-512",
} as const;

describe.skipIf(!has)("Kafka's doors", () => {
  it.each(["password", "scram-256", "tls-password", "tls-scram-512"] as const)(
    "%s: lets in who has it, and nobody else",
    async (variant) => {
      await using broker = await startBroker("kafka", { variant });
      const { user = "", password = "" } = broker.login ?? {};
      expect(new URL(broker.url)).toMatchObject({ username: user, password });
      expect(broker.url).toMatch(variant.startsWith("tls") ? /^kafkas:/ : /^kafka:/);
      const ca = readFileSync(broker.certificates?.ca ?? "", "utf8");
      const open = (): KafkaWire =>
        variant.startsWith("tls") ? KafkaWire.secure(portOf(broker), { ca }) : KafkaWire.plain(portOf(broker));
      using kafka = open();
      await kafkaLogin(kafka, mechanisms[variant], user, password);
      expect(await serversOf(kafka)).toBe(1);
      using wrong = open();
      await expect(kafkaLogin(wrong, mechanisms[variant], user, "wrong")).rejects.toThrow("error 58");
      using other = open();
      const off = mechanisms[variant] === "PLAIN" ? "SCRAM-SHA-256" : "PLAIN";
      await expect(kafkaLogin(other, off, user, password)).rejects.toThrow("SaslHandshake: error 33");
      using none = open();
      await expect(serversOf(none)).rejects.toThrow(/closed|ECONNRESET/);
    },
  );

  it("is 4.1 where that was asked for, its user is there again after a restart", async () => {
    if (older === undefined) return;
    expect([older.label, older.version]).toEqual(["kafka@4.1/scram-512", expect.stringMatching(/^4\.1\./)]);
    await older.restart();
    using kafka = KafkaWire.plain(portOf(older));
    await kafkaLogin(kafka, "SCRAM-SHA-512", "omnibus", "secret");
    expect(await serversOf(kafka)).toBe(1);
  });

  it("restricted: its second user may do nothing", async () => {
    await using broker = await startBroker("kafka", { variant: "restricted" });
    using owner = KafkaWire.plain(portOf(broker));
    await kafkaLogin(owner, "PLAIN", "omnibus", "secret");
    expect(await makeTopic(owner, "made")).toBe(0);
    using app = KafkaWire.plain(portOf(broker));
    await kafkaLogin(app, "PLAIN", "app", "secret");
    const forbidden = 29;
    expect(await makeTopic(app, "not-made")).toBe(forbidden);
  });
});

describe.skipIf(!has)("a cluster of Kafka", () => {
  it("of three keeps three copies, goes on without one, and is whole again after all were killed", async () => {
    await using broker = await startBroker("kafka", { variant: "cluster" });
    const [first, second, third] = broker.servers;
    if (first === undefined || second === undefined || third === undefined) throw new Error("three servers");
    const known = async (port: number): Promise<number> => {
      using kafka = KafkaWire.plain(port);
      return await serversOf(kafka).catch(() => 0);
    };
    for (const { port } of broker.servers) expect(await known(port)).toBe(3);
    await checkLoopback(broker);
    using kafka = KafkaWire.plain(second.port);
    expect(await makeTopic(kafka, "copied", 3)).toBe(0);
    await first.kill();
    expect([await first.state(), await third.state()]).toEqual(["down", "running"]);
    await until(async () => (await known(third.port)) === 2, "two servers", 30_000);
    await broker.kill();
    await broker.start();
    for (const { port } of broker.servers) expect(await known(port)).toBe(3);
    using again = KafkaWire.plain(first.port);
    expect(await makeTopic(again, "copied", 3)).toBe(topicExists);
  });
});
