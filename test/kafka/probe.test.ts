import { readFileSync } from "node:fs";
import { describe, expect, it, vi } from "vitest";
import type { Broker } from "../../scripts/brokers/broker.ts";
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import { systemClock } from "../../src/clock.ts";
import { loadClient } from "../../src/drivers/kafka/client.ts";
import { classify } from "../../src/drivers/kafka/errors.ts";
import { probe, type Probed, type ProbeLogin } from "../../src/drivers/kafka/probe.ts";
import { testBroker } from "../support/test-broker.ts";
import { withinTwoSeconds } from "../support/within-two-seconds.ts";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const plain = await testBroker("kafka", { own: true });

const login: ProbeLogin = { username: "omnibus", password: "secret", mechanism: undefined };
interface Given {
  readonly tls?: object;
  readonly login?: ProbeLogin;
  readonly port?: number;
}

async function probed(broker: Broker, given: Given = {}): Promise<Probed> {
  const host = { host: "127.0.0.1", port: given.port ?? broker.servers[0]?.port ?? 0 };
  const signal = new AbortController().signal;
  const options = { clientId: "test", tls: given.tls, login: given.login };
  return await probe(host, options, { module: await loadClient(), clock: systemClock, signal });
}

/** Its code, whether it passes, and its text; fails when it took two seconds. */
async function refusal(broker: Broker, given: Given): Promise<string> {
  const error = await withinTwoSeconds(() =>
    probed(broker, given).then(
      () => new Error("it was let in"),
      (thrown: unknown) => thrown,
    ),
  );
  const { code, retryable } = classify(error);
  return `${code} ${retryable ? "passes" : "stays"}: ${(error as Error).message}`;
}

const text = (path: string | undefined): string => readFileSync(path ?? "", "utf8");
const trusting = ({ certificates }: Broker): object => ({ ca: text(certificates?.ca) });

describe.skipIf(plain === undefined)("the first contact with a Kafka", () => {
  it("knows its brokers, and says at once what will never be right", async () => {
    if (plain === undefined) return;
    const { metadata, sasl } = await probed(plain);
    expect([metadata.brokers.map(({ host, port }) => `${host}:${port}`), sasl]).toEqual([
      [`127.0.0.1:${plain.servers[0]?.port}`],
      undefined,
    ]);
    expect(await refusal(plain, { login })).toMatch(/^BUS_AUTHENTICATION stays: kafka: no password is wanted here/);
    expect(await refusal(plain, { login: { ...login, mechanism: "PLAIN" } })).toMatch(/^BUS_AUTHENTICATION stays/);
    expect(await refusal(plain, { tls: {} })).toMatch(/^BUS_CONNECTION stays: kafka: \S+ speaks no TLS$/);
    expect(await refusal(plain, { port: 1 })).toMatch(/^BUS_CONNECTION passes/);
  });

  it("gives a broker that stands still two seconds", async () => {
    if (plain === undefined) return;
    await plain.pause();
    const error = await probed(plain).catch((thrown: unknown) => thrown);
    await plain.resume();
    expect(classify(error)).toEqual({ code: "BUS_TIMEOUT", retryable: true });
  });

  it.each(["password", "scram-256"] as const)("%s: chooses how to log in", async (variant) => {
    await using broker = await startBroker("kafka", { variant });
    const plainly = { ...login, mechanism: variant === "password" ? ("PLAIN" as const) : undefined };
    const { sasl } = await probed(broker, { login: plainly });
    expect(sasl?.mechanism).toBe(variant === "password" ? "PLAIN" : "SCRAM-SHA-256");
    expect(await refusal(broker, { login: { ...plainly, password: "wrong" } })).toMatch(/^BUS_AUTHENTICATION stays/);
    expect(await refusal(broker, { login: { ...plainly, username: "nobody" } })).toMatch(/^BUS_AUTHENTICATION stays/);
    expect(await refusal(broker, {})).toMatch(
      variant === "password"
        ? /^BUS_AUTHENTICATION stays: kafka: the broker wants a user and a password \(PLAIN\), and none was given$/
        : /^BUS_AUTHENTICATION stays: .*\(SCRAM-SHA-256\), and none was given$/,
    );
    if (variant === "password")
      expect(await refusal(broker, { login })).toMatch(/^BUS_AUTHENTICATION stays: kafka: the broker has PLAIN only/);
    const other = variant === "password" ? "SCRAM-SHA-512" : "PLAIN";
    expect(await refusal(broker, { login: { ...login, mechanism: other } })).toMatch(/^BUS_AUTHENTICATION stays/);
  });

  it("tls-scram-512: logs in over TLS, and trusts whom it was told to", async () => {
    await using broker = await startBroker("kafka", { variant: "tls-scram-512" });
    const { sasl } = await probed(broker, { tls: trusting(broker), login });
    expect(sasl?.mechanism).toBe("SCRAM-SHA-512");
    const strange = { ca: text(broker.certificates?.otherCa) };
    expect(await refusal(broker, { tls: strange, login })).toMatch(/^BUS_AUTHENTICATION stays/);
    expect(await refusal(broker, { tls: trusting(broker), login: { ...login, password: "wrong" } })).toMatch(
      /^BUS_AUTHENTICATION stays/,
    );
    expect(await refusal(broker, { login })).toMatch(/^BUS_CONNECTION stays: kafka: \S+ wants TLS$/);
    expect(await refusal(broker, {})).toMatch(/^BUS_CONNECTION stays: kafka: \S+ wants TLS$/);
  });

  it("mtls: says that a certificate is missing, or another's", async () => {
    await using broker = await startBroker("kafka", { variant: "mtls" });
    const pair = (of: "client" | "stranger"): object => ({
      ...trusting(broker),
      cert: text(broker.certificates?.[of].cert),
      key: text(broker.certificates?.[of].key),
    });
    expect((await probed(broker, { tls: pair("client") })).metadata.brokers).toHaveLength(1);
    expect(await refusal(broker, { tls: trusting(broker) })).toMatch(/^BUS_AUTHENTICATION stays/);
    expect(await refusal(broker, { tls: pair("stranger") })).toMatch(/^BUS_AUTHENTICATION stays/);
  });

  it.each(["tls-expired", "tls-wrong-host"] as const)("%s: refused by its certificate", async (variant) => {
    await using broker = await startBroker("kafka", { variant });
    expect(await refusal(broker, { tls: trusting(broker) })).toMatch(/^BUS_AUTHENTICATION stays/);
  });
});
