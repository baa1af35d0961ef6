import { createPrivateKey } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import { describe, expect, it, vi } from "vitest";
import type { Broker } from "../../scripts/brokers/broker.ts";
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import type { DriverConnection } from "../../src/driver.ts";
import { classify } from "../../src/drivers/kafka/errors.ts";
import { kafka, type KafkaOptions } from "../../src/drivers/kafka/index.ts";
import { connectTo, consume, publish, until } from "../support/driver-harness.ts";
import { temporaryFolder } from "../support/fake-executable.ts";
import { freshPrefix } from "../support/kafka-session.ts";
import { testBroker } from "../support/test-broker.ts";
import { withinTwoSeconds } from "../support/within-two-seconds.ts";

vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 });

const plain = await testBroker("kafka", { own: true });

async function opened(options: KafkaOptions): Promise<DriverConnection> {
  return (await connectTo(kafka(options), { prefix: freshPrefix() })).connection;
}

/** What is published comes back. */
async function assertWorks(options: KafkaOptions): Promise<void> {
  const connection = await opened(options);
  try {
    await connection.ensureStream({ name: "events", topics: [">"], partitions: 1 });
    const source = { kind: "tail", stream: "events", from: { at: "oldest" }, resume: undefined } as const;
    const { sink } = await consume(connection, source);
    publish(connection, ["1", "2"]);
    await until(() => sink.messages.length === 2, "both to come", 20_000);
  } finally {
    await connection.close(AbortSignal.timeout(2_000));
  }
}

/** Its code; fails when it took two seconds, or when a secret is in it. */
async function refusal(options: KafkaOptions): Promise<string> {
  const error = await withinTwoSeconds(() =>
    opened(options).then(
      () => new Error("it was let in"),
      (thrown: unknown) => thrown,
    ),
  );
  expect(inspect(error, { depth: 12, showHidden: true })).not.toMatch(/secret|not this/);
  return classify(error).code;
}

const wrong = { username: "omnibus", password: "not this" };
const bare = ({ url }: Broker): string => url.replace(/\/\/.*@/, "//");

describe.skipIf(plain === undefined)("connecting to Kafka", () => {
  it.each([
    ["password", "newest"],
    ["scram-256", "newest"],
    ["scram-512", "newest"],
    ["tls-password", "newest"],
    ["tls-scram-256", "newest"],
    ["tls-scram-512", "newest"],
    ["tls-scram-512", "4.1"],
  ] as const)(
    "works with a password (%s, %s), from the url or the options, and not with a wrong one",
    async (variant, release) => {
      await using broker = await startBroker("kafka", { own: true, variant, release });
      const tls = variant.startsWith("tls") ? { caFile: broker.certificates!.ca } : undefined;
      const mechanism = variant === "password" ? ("plain" as const) : undefined;
      await assertWorks({ brokers: broker.url, tls, mechanism });
      await assertWorks({ brokers: bare(broker), username: "omnibus", password: "secret", tls, mechanism });
      const asked = vi.fn(() => "secret");
      await assertWorks({ brokers: bare(broker), username: "omnibus", password: asked, tls, mechanism });
      expect(asked.mock.calls.length).toBeGreaterThan(1);
      expect(await refusal({ brokers: bare(broker), ...wrong, tls, mechanism })).toBe("BUS_AUTHENTICATION");
      expect(await refusal({ brokers: bare(broker), tls })).toBe("BUS_AUTHENTICATION");
      if (tls !== undefined)
        expect(await refusal({ brokers: broker.url, tls: { caFile: broker.certificates!.otherCa } })).toBe(
          "BUS_AUTHENTICATION",
        );
    },
  );

  it("works with TLS and a certificate, and with no other authority, name or certificate", async () => {
    await using broker = await startBroker("kafka", { own: true, variant: "mtls" });
    const { ca, client, otherCa, stranger } = broker.certificates!;
    const own = { caFile: ca, certFile: client.cert, keyFile: client.key };
    await assertWorks({ brokers: broker.url, tls: own });
    expect(await refusal({ brokers: broker.url, tls: { ...own, caFile: otherCa } })).toBe("BUS_AUTHENTICATION");
    expect(await refusal({ brokers: broker.url, tls: { caFile: ca } })).toBe("BUS_AUTHENTICATION");
    const other = { caFile: ca, certFile: stranger.cert, keyFile: stranger.key };
    expect(await refusal({ brokers: broker.url, tls: other })).toBe("BUS_AUTHENTICATION");
    expect(await refusal({ brokers: broker.url, tls: { ...own, serverName: "else.example" } })).toBe(
      "BUS_AUTHENTICATION",
    );
    await using foreign = await startBroker("kafka", { own: true, variant: "tls-wrong-host" });
    const caFile = foreign.certificates!.ca;
    expect(await refusal({ brokers: foreign.url, tls: { caFile } })).toBe("BUS_AUTHENTICATION");
    await assertWorks({ brokers: foreign.url, tls: { caFile, serverName: "elsewhere.example" } });
  });

  it("opens a key that is locked by its passphrase, and by no other", async () => {
    await using broker = await startBroker("kafka", { own: true, variant: "mtls" });
    const { ca: caFile, client } = broker.certificates!;
    const keyFile = join(temporaryFolder(), "locked.key");
    const key = createPrivateKey(readFileSync(client.key));
    const lock = { cipher: "aes-256-cbc", passphrase: "open sesame" };
    writeFileSync(keyFile, key.export({ type: "pkcs8", format: "pem", ...lock }));
    const tls = { caFile, certFile: client.cert, keyFile };
    await assertWorks({ brokers: broker.url, tls: { ...tls, passphrase: lock.passphrase } });
    for (const passphrase of ["not this", undefined])
      expect(await refusal({ brokers: broker.url, tls: { ...tls, passphrase } })).toBe("BUS_INVALID_OPTION");
  });

  it("names the hosts that a broker advertises when nobody can be reached there", async () => {
    await using broker = await startBroker("kafka", { own: true, variant: "elsewhere" });
    const error = await withinTwoSeconds(() => opened({ brokers: broker.url }).catch((thrown: unknown) => thrown));
    expect(classify(error)).toEqual({ code: "BUS_CONNECTION", retryable: true });
    expect((error as Error).message).toMatch(
      new RegExp(`127\\.0\\.0\\.1:${broker.servers[0]?.port} answers.*127\\.0\\.0\\.1:1 .*advertised\\.listeners`),
    );
  });

  it("takes the next of several brokers when one is away", async () => {
    if (plain === undefined) return;
    const port = plain.servers[0]?.port;
    await assertWorks({ brokers: ["127.0.0.1:1", `127.0.0.1:${port}`] });
    await expect(opened({ brokers: "127.0.0.1:1" })).rejects.toMatchObject({ cause: expect.anything() });
  });
});
