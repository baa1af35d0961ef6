import { inspect } from "node:util";
import { describe, expect, it, onTestFinished } from "vitest";
import { rabbitmq, type RabbitMqOptions } from "../../src/drivers/rabbitmq/index.ts";
import { type BusError, connect, isBusError } from "../../src/index.ts";
import { Tick } from "../support/events.ts";
import { freshPrefix } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";
import { withinTwoSeconds } from "../support/within-two-seconds.ts";

const variant = (name: "password" | "tls" | "mtls" | "tls-wrong-host" | "tls-expired") =>
  testBroker("rabbitmq", { own: true, variant: name });
const [password, tls] = [await variant("password"), await variant("tls")];
const [mtls, wrongHost] = [await variant("mtls"), await variant("tls-wrong-host")];
const expired = await variant("tls-expired");

/** Everything that a caller can see of an error, causes included. */
const textOf = (error: unknown): string => inspect(error, { depth: 12, showHidden: true });
const bare = (url: string): string => url.replace(/\/\/[^@/]*@/, "//");

async function refusal(options: RabbitMqOptions): Promise<BusError> {
  const error: unknown = await withinTwoSeconds(() =>
    connect({
      driver: rabbitmq(options),
      prefix: freshPrefix(),
      connectTimeoutMs: 15_000,
    }).then(
      async (bus) => {
        await bus.close();
        throw new Error("it connected");
      },
      (reason: unknown) => reason,
    ),
  );
  expect(error).toSatisfy(isBusError);
  return error as BusError;
}

async function works(options: RabbitMqOptions): Promise<void> {
  const bus = await connect({ driver: rabbitmq(options), prefix: freshPrefix() });
  onTestFinished(() => bus.close().then(() => undefined));
  expect((await bus.publish(Tick, { n: 1 })).stream).toBe("events");
}

describe.skipIf(password === undefined)("logging in to RabbitMQ", () => {
  it("option: RabbitMqOptions.username, RabbitMqOptions.password, and both in the url", async () => {
    const { url } = password!;
    await works({ url });
    await works({ url: bare(url), username: "omnibus", password: () => Promise.resolve("secret") });
    for (const options of [
      { url: bare(url) },
      { url: bare(url), username: "omnibus", password: "hunter2-wrong" },
      { url: bare(url).replace("//", "//omnibus:hunter2-wrong@") },
    ]) {
      const error = await refusal(options);
      expect([error.code, error.retryable]).toEqual(["BUS_AUTHENTICATION", false]);
      expect(textOf(error)).not.toContain("hunter2");
    }
  });

  it("option: RabbitMqOptions.vhost: one of its own, one without a right, none of that name", async () => {
    const { url } = password!;
    await works({ url, vhost: "other" });
    await works({ url: `${url}/other` });
    for (const vhost of ["closed", "nowhere"]) {
      const error = await refusal({ url, vhost });
      expect([error.code, error.retryable]).toEqual(["BUS_AUTHENTICATION", false]);
      expect(error.message).toContain(vhost);
    }
  });

  it("option: RabbitMqOptions.tls, RabbitMqTlsOptions.caFile: trusts an authority, and refuses another one's", async () => {
    const { url, certificates } = tls!;
    await works({ url, tls: { caFile: certificates!.ca } });
    for (const options of [{ url }, { url, tls: { caFile: certificates!.otherCa } }]) {
      const error = await refusal(options);
      expect([error.code, error.retryable]).toEqual(["BUS_AUTHENTICATION", false]);
    }
    const missing = await refusal({ url, tls: { caFile: "/nowhere/ca.pem" } });
    expect([missing.code, missing.retryable]).toEqual(["BUS_INVALID_OPTION", false]);
  });

  it("a certificate for another host, and one that is too old", async () => {
    for (const broker of [wrongHost!, expired!]) {
      const error = await refusal({ url: broker.url, tls: { caFile: broker.certificates!.ca } });
      expect([error.code, error.retryable]).toEqual(["BUS_AUTHENTICATION", false]);
    }
  });

  it("option: RabbitMqTlsOptions.certFile, RabbitMqTlsOptions.keyFile: right, missing, and of a stranger", async () => {
    const { url, certificates } = mtls!;
    const { ca: caFile, client, stranger } = certificates!;
    await works({ url, tls: { caFile, certFile: client.cert, keyFile: client.key } });
    for (const more of [{}, { certFile: stranger.cert, keyFile: stranger.key }]) {
      const error = await refusal({ url, tls: { caFile, ...more } });
      expect([error.code, error.retryable]).toEqual(["BUS_AUTHENTICATION", false]);
    }
  });
});
