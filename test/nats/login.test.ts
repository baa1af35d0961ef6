import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { describe, expect, it, onTestFinished } from "vitest";
import { connect, isBusError, type BusError } from "../../src/index.ts";
import { nats, type NatsOptions } from "../../src/drivers/nats/index.ts";
import { fresh, Tick } from "../support/events.ts";
import { testBroker } from "../support/test-broker.ts";

const newest = async (variant?: "password" | "token" | "nkey" | "credentials" | "tls" | "mtls") =>
  await testBroker("nats", { own: true, ...(variant === undefined ? {} : { variant }) });

/** Everything that a caller can see of an error, causes included. */
const textOf = (error: unknown): string => inspect(error, { depth: 12, showHidden: true });

async function refusal(options: NatsOptions): Promise<BusError> {
  const started = performance.now();
  const error: unknown = await connect({ driver: nats(options), prefix: fresh("p"), connectTimeoutMs: 15_000 }).then(
    async (bus) => {
      await bus.close();
      throw new Error("it connected");
    },
    (reason: unknown) => reason,
  );
  expect(error).toSatisfy(isBusError);
  expect(performance.now() - started).toBeLessThan(5_000); // at once
  return error as BusError;
}

async function works(options: NatsOptions): Promise<void> {
  const bus = await connect({ driver: nats(options), prefix: fresh("p") });
  onTestFinished(() => bus.close().then(() => undefined));
  expect((await bus.publish(Tick, { n: 1 })).stream).toBe("events");
}

const plain = await newest();
const password = await newest("password");
const token = await newest("token");
const nkey = await newest("nkey");
const credentials = await newest("credentials");
const tls = await newest("tls");
const mtls = await newest("mtls");

/** `nats://user:secret@127.0.0.1:4222` without what stands before the `@`. */
const bare = (url: string): string => url.replace(/\/\/[^@/]*@/, "//");
const hostOf = (url: string): string => new URL(url).host;

describe.skipIf(plain === undefined)("logging in to NATS", () => {
  it("option: NatsOptions.user, NatsOptions.password, and both in the url", async () => {
    const { url } = password!;
    await works({ servers: url });
    await works({ servers: bare(url), user: "omnibus", password: "secret" });
    for (const options of [
      { servers: bare(url) },
      { servers: bare(url), user: "omnibus", password: "hunter2-wrong" },
      { servers: bare(url).replace("//", "//omnibus:hunter2-wrong@") },
    ]) {
      const error = await refusal(options);
      expect([error.code, error.retryable]).toEqual(["BUS_AUTHENTICATION", false]);
      expect(textOf(error)).not.toContain("hunter2");
    }
  });

  it("option: NatsOptions.token, and one in the url", async () => {
    const servers = bare(token!.url);
    await works({ servers, token: "omnibus-token" });
    await works({ servers: servers.replace("//", "//omnibus-token@") });
    const error = await refusal({ servers, token: "hunter2-wrong" });
    expect(error.code).toBe("BUS_AUTHENTICATION");
    expect(textOf(error)).not.toContain("hunter2");
  });

  it("option: NatsOptions.nkey", async () => {
    const { url, login } = nkey!;
    await works({ servers: url, nkey: login!.seed! });
    expect((await refusal({ servers: url })).code).toBe("BUS_AUTHENTICATION");
    const malformed = await refusal({ servers: url, nkey: "SUhunter2" });
    expect([malformed.code, malformed.retryable]).toEqual(["BUS_INVALID_OPTION", false]);
    expect(textOf(malformed)).not.toContain("hunter2");
  });

  it("option: NatsOptions.credentials", async () => {
    const { url, login } = credentials!;
    const folder = mkdtempSync(join(tmpdir(), "omnibus-"));
    const path = join(folder, "user.creds");
    writeFileSync(path, login!.credentials!);
    await works({ servers: url, credentials: path });
    expect((await refusal({ servers: url })).code).toBe("BUS_AUTHENTICATION");
    const missing = await refusal({ servers: url, credentials: join(folder, "none.creds") });
    expect([missing.code, missing.retryable]).toEqual(["BUS_INVALID_OPTION", false]);
    const garbage = join(folder, "garbage.creds");
    writeFileSync(garbage, "hunter2");
    const malformed = await refusal({ servers: url, credentials: garbage });
    expect([malformed.code, malformed.retryable]).toEqual(["BUS_INVALID_OPTION", false]);
  });

  it("option: NatsOptions.tls, NatsTlsOptions.caFile: trusts an authority, and refuses another one's certificate", async () => {
    const { url, certificates } = tls!;
    const servers = hostOf(url);
    await works({ servers, tls: { caFile: certificates!.ca } });
    await works({ servers: `tls://${servers}`, tls: { caFile: certificates!.ca } });
    for (const options of [{ servers: `tls://${servers}` }, { servers, tls: { caFile: certificates!.otherCa } }]) {
      const error = await refusal(options);
      expect([error.code, error.retryable]).toEqual(["BUS_AUTHENTICATION", false]);
    }
    const missing = await refusal({ servers, tls: { caFile: "/nowhere/ca.pem" } });
    expect([missing.code, missing.retryable]).toEqual(["BUS_INVALID_OPTION", false]);
    const none = await refusal({ servers: plain!.url, tls: {} });
    expect([none.code, none.retryable]).toEqual(["BUS_INVALID_OPTION", false]);
  });

  it("option: NatsTlsOptions.certFile, NatsTlsOptions.keyFile: a client's certificate, missing, right and of a stranger", async () => {
    const { url, certificates } = mtls!;
    const { ca: caFile, client, stranger } = certificates!;
    const servers = hostOf(url);
    await works({ servers, tls: { caFile, certFile: client.cert, keyFile: client.key } });
    for (const more of [{}, { certFile: stranger.cert, keyFile: stranger.key }]) {
      const error = await refusal({ servers, tls: { caFile, ...more } });
      expect([error.code, error.retryable]).toEqual(["BUS_AUTHENTICATION", false]);
    }
  });

  it("option: NatsOptions.servers may be several, of which some are dead", async () => {
    const host = hostOf(plain!.url);
    await works({ servers: ["127.0.0.1:1", host] });
    await works({ servers: `nats://127.0.0.1:1,${host}` });
    const dead = connect({ driver: nats({ servers: "127.0.0.1:1" }), connectTimeoutMs: 300 });
    await expect(dead).rejects.toMatchObject({ code: "BUS_CONNECTION" });
  });

  it("a wrong password among several servers is refused at once too", async () => {
    const servers = [hostOf(password!.url), "127.0.0.1:1"];
    expect((await refusal({ servers, user: "omnibus", password: "wrong" })).code).toBe("BUS_AUTHENTICATION");
  });
});

describe("what a server must not be", () => {
  for (const [variant, names] of [
    ["tls-expired", "certificate"],
    ["tls-wrong-host", "certificate"],
  ] as const)
    it(`${variant} is refused at once`, async ({ skip }) => {
      const broker = await testBroker("nats", { own: true, variant });
      if (broker === undefined) return skip();
      const error = await refusal({ servers: hostOf(broker.url), tls: { caFile: broker.certificates!.ca } });
      expect([error.code, error.retryable]).toEqual(["BUS_AUTHENTICATION", false]);
      expect(textOf(error).toLowerCase()).toContain(names);
    });

  it("a server without JetStream is refused by name", async ({ skip }) => {
    const broker = await testBroker("nats", { own: true, variant: "no-jetstream" });
    if (broker === undefined) return skip();
    const error = await refusal({ servers: broker.url });
    expect([error.code, error.retryable]).toEqual(["BUS_UNSUPPORTED", false]);
    expect(error.message).toContain("JetStream");
  });
});
