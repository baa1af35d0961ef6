import { afterEach, describe, expect, it } from "vitest";
import type { RedisOptions } from "../../src/drivers/redis/options.ts";
import type { Session } from "../../src/drivers/redis/session.ts";
import { classify } from "../../src/drivers/redis/errors.ts";
import { redisCommand } from "../../scripts/brokers/redis-command.ts";
import { within } from "../../src/testing/index.ts";
import { freshPrefix, openSession } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const plain = await testBroker("redis", { own: true });
const open: Session[] = [];

async function opened(url: string, options: RedisOptions = {}): Promise<Session> {
  const session = await openSession(url, freshPrefix(), { options });
  open.push(session);
  return session;
}

/** The code of what connecting is refused with, and that it says nothing secret. */
async function refused(url: string, options: RedisOptions = {}): Promise<string> {
  const failure = await within(
    opened(url, { connectTimeoutMs: 2_000, ...options }).then(
      () => undefined,
      (error: unknown) => error,
    ),
    "connecting to be refused",
    4_000,
  );
  expect(failure).toBeInstanceOf(Error);
  expect(JSON.stringify(failure, Object.getOwnPropertyNames(failure)) + String(failure)).not.toMatch(
    /secret|wrong-word/,
  );
  const { code, retryable } = classify(failure);
  return `${code}${retryable ? " retryable" : ""}`;
}

const works = async (session: Session): Promise<string> => String(await session.command(["PING"]));

afterEach(async () => {
  for (const session of open.splice(0)) await session.close(AbortSignal.timeout(1_000));
});

describe.skipIf(plain === undefined)("connecting to redis", () => {
  it("option: RedisOptions.url, RedisOptions.username, RedisOptions.password: by user and password, in the url or beside it, and a password that is asked for", async () => {
    await using broker = await testBrokerOf("password");
    const { user, password } = broker.login!;
    const bare = `redis://127.0.0.1:${broker.servers[0]!.port}`;
    expect(await works(await opened(broker.url))).toBe("PONG");
    expect(await works(await opened(bare, { username: user, password: password! }))).toBe("PONG");
    let asked = 0;
    const asking = { username: user, password: async () => ((asked += 1), password!) };
    expect(await works(await opened(bare, asking))).toBe("PONG");
    expect(asked).toBe(2); // one for each connection
    expect(await refused(bare)).toBe("BUS_AUTHENTICATION");
    expect(await refused(bare, { username: user, password: "wrong-word" })).toBe("BUS_AUTHENTICATION");
    expect(await refused(bare, { username: "nobody", password: "wrong-word" })).toBe("BUS_AUTHENTICATION");
  });

  it("option: RedisOptions.tls, RedisTlsOptions.caFile: over TLS to whom it trusts alone", async () => {
    await using broker = await testBrokerOf("tls");
    const { ca, otherCa } = broker.certificates!;
    expect(await works(await opened(broker.url, { tls: { caFile: ca } }))).toBe("PONG");
    expect(await works(await opened(broker.url.replace("rediss:", "redis:"), { tls: { caFile: ca } }))).toBe("PONG");
    expect(await refused(broker.url, { tls: { caFile: otherCa } })).toBe("BUS_AUTHENTICATION");
    expect(await refused(broker.url)).toBe("BUS_AUTHENTICATION");
    expect(await refused(broker.url, { tls: { caFile: "/nowhere/ca.pem" } })).toBe("BUS_INVALID_OPTION");
    expect(await refused(broker.url.replace("rediss:", "redis:"))).toMatch(/BUS_CONNECTION|BUS_TIMEOUT/);
    expect(await refused(plain!.url.replace("redis:", "rediss:"))).toMatch(/BUS_AUTHENTICATION|BUS_TIMEOUT/);
  });

  it("option: RedisTlsOptions.certFile, RedisTlsOptions.keyFile: with a certificate of its own, and with none, or a stranger's, at once not", async () => {
    await using broker = await testBrokerOf("mtls");
    const { ca, client, stranger } = broker.certificates!;
    const tls = { caFile: ca, certFile: client.cert, keyFile: client.key };
    expect(await works(await opened(broker.url, { tls }))).toBe("PONG");
    expect(await refused(broker.url, { tls: { caFile: ca } })).toBe("BUS_AUTHENTICATION");
    expect(await refused(broker.url, { tls: { ...tls, certFile: stranger.cert, keyFile: stranger.key } })).toBe(
      "BUS_AUTHENTICATION",
    );
  });

  it("refuses an expired certificate and one of another host", async () => {
    for (const variant of ["tls-expired", "tls-wrong-host"] as const) {
      await using broker = await testBrokerOf(variant);
      expect(await refused(broker.url, { tls: { caFile: broker.certificates!.ca } })).toBe("BUS_AUTHENTICATION");
    }
  });

  it("option: RedisOptions.database: uses the database that was asked for", async () => {
    const one = await opened(plain!.url, { database: 3 });
    expect(await works(await opened(`${plain!.url}/2`))).toBe("PONG");
    expect(await redisCommand(plain!.servers[0]!.port, "INFO", "keyspace")).toMatch(/db3:/);
    expect(Number(await one.command(["DBSIZE"]))).toBeGreaterThan(0);
    expect(await refused(plain!.url, { database: 99 })).toBe("BUS_INVALID_OPTION");
  });

  it("refuses a replica by name, and a server that is not there", async () => {
    await using broker = await testBrokerOf("replica");
    expect(await refused(`redis://127.0.0.1:${broker.servers[1]!.port}`)).toBe("BUS_CONNECTION retryable");
    expect(await refused("redis://127.0.0.1:1")).toBe("BUS_CONNECTION retryable");
    expect(await refused("redis://no-such-host.invalid")).toBe("BUS_CONNECTION retryable");
  });
});

async function testBrokerOf(variant: "password" | "tls" | "mtls" | "tls-expired" | "tls-wrong-host" | "replica") {
  const { startBroker } = await import("../../scripts/brokers/start-broker.ts");
  return await startBroker("redis", { variant });
}
