import { connect as connectClient, type NatsConnection } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import { connect, type Bus } from "../../src/index.ts";
import { nats, type NatsOptions } from "../../src/drivers/nats/index.ts";
import { until } from "../../src/testing/until.ts";
import { fresh, Tick } from "../support/events.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("nats", { own: true });
const tls = await testBroker("nats", { own: true, variant: "tls" });

describe.skipIf(broker === undefined)("the options of the NATS driver", () => {
  const newPrefix = (): string => fresh(`o${process.pid}`);

  async function on(options: NatsOptions, prefix: string = newPrefix()): Promise<Bus> {
    const bus = await connect({ driver: nats({ servers: broker!.url, ...options }), prefix });
    onTestFinished(() => bus.close({ timeoutMs: 2_000 }).then(() => undefined));
    return bus;
  }

  async function raw(): Promise<NatsConnection> {
    const client = await connectClient({ servers: broker!.url });
    onTestFinished(() => client.close());
    return client;
  }

  /** What is said on a subject from now on. */
  async function overheard(subject: string): Promise<readonly { readonly subject: string; readonly text: string }[]> {
    const client = await raw();
    const heard: { readonly subject: string; readonly text: string }[] = [];
    client.subscribe(subject, {
      callback: (_error, message) => void heard.push({ subject: message.subject, text: message.string() }),
    });
    await client.flush();
    return heard;
  }

  it("option: NatsOptions.leaseMs is renewed every third, and how long a delivery waits for its member", async () => {
    const prefix = newPrefix();
    const renewals = await overheard(`$KV.${prefix}.m.*`);
    const bus = await on({ leaseMs: 600 }, prefix);
    await bus.subscribe(Tick, () => undefined, { group: "g", order: "none" });
    const before = renewals.length;
    const from = performance.now();
    await until(() => renewals.length >= before + 4, "four renewals", 3_000);
    expect(performance.now() - from).toBeGreaterThan(500);
    const client = await raw();
    const stream = `${prefix}=s=events`;
    const { consumers } = (await client.request(`$JS.API.CONSUMER.LIST.${stream}`, "{}", { timeout: 10_000 })).json<{
      readonly consumers: readonly { readonly config: { readonly ack_policy: string; readonly ack_wait: number } }[];
    }>();
    expect(consumers.map(({ config }) => config.ack_wait)).toEqual([600e6]);
  });

  it("option: NatsOptions.heartbeatMs is what each open pull asks for", async () => {
    const prefix = newPrefix();
    const pulls = await overheard("$JS.API.CONSUMER.MSG.NEXT.>");
    const bus = await on({ heartbeatMs: 1_234 }, prefix);
    await bus.subscribe(Tick, () => undefined, { group: "g" });
    const ours = (): readonly string[] =>
      pulls.filter(({ subject }) => subject.includes(prefix)).map(({ text }) => text);
    await until(() => ours().length > 3, "pulls");
    for (const text of ours()) expect(JSON.parse(text)).toMatchObject({ idle_heartbeat: 1_234e6 });
  });

  it("option: NatsOptions.pingMs is how soon a server that is silent is noticed", async () => {
    const bus = await on({ pingMs: 200 });
    const said: string[] = [];
    bus.onStatus(({ type }) => void said.push(type));
    await broker!.pause();
    try {
      await until(() => said.includes("disconnected"), "that it is gone", 3_000);
    } finally {
      await broker!.resume();
    }
    await until(() => said.includes("connected"), "that it is back", 10_000);
  });

  it("option: NatsOptions.requestTimeoutMs bounds a call to a server that is silent", async () => {
    const bus = await on({ requestTimeoutMs: 300, pingMs: 60_000 });
    await broker!.pause();
    try {
      const from = performance.now();
      await expect(bus.streams.list()).rejects.toMatchObject({ code: "BUS_TIMEOUT", retryable: true });
      expect(performance.now() - from).toBeLessThan(2_000);
    } finally {
      await broker!.resume();
    }
    expect(await bus.streams.list()).toHaveLength(1);
  });

  it("option: NatsOptions.replicas are more than a server alone can have", async () => {
    await expect(on({ replicas: 3 })).rejects.toMatchObject({ code: "BUS_INVALID_OPTION", retryable: false });
  });

  it("option: NatsOptions.inboxPrefix is where answers arrive", async () => {
    const inboxPrefix = `${newPrefix()}.answers`;
    const answers = await overheard(`${inboxPrefix}.>`);
    const bus = await on({ inboxPrefix });
    const before = answers.length;
    expect(before).toBeGreaterThan(0);
    await bus.publish(Tick, { n: 1 });
    await until(() => answers.length > before, "the answer to the publish");
  });

  it("option: NatsTlsOptions.handshakeFirst begins with TLS, which a server must be set up for", async ({ skip }) => {
    if (tls === undefined) return skip();
    const { url, certificates } = tls;
    const servers = new URL(url).host;
    const connecting = connect({
      driver: nats({ servers, tls: { caFile: certificates!.ca, handshakeFirst: true }, requestTimeoutMs: 500 }),
      connectTimeoutMs: 1_000,
    });
    await expect(connecting).rejects.toMatchObject({ code: expect.stringMatching(/^BUS_/) as string });
  });

  it("names what is wrong with an option, without its value", () => {
    for (const [options, message] of [
      [{ server: "x" }, /no option "server"; did you mean "servers"/],
      [{ servers: "http://hunter2@x" }, /server 1 of "servers" is none/],
      [{ servers: [] }, /"servers" must not be empty/],
      [{ servers: ["nats://a:hunter2@x", "nats://b:hunter2@y"] }, /different logins/],
      [{ servers: "nats://a:b@x", user: "hunter2", password: "hunter2" }, /"user" stands in the url already/],
      [{ user: "hunter2" }, /"user" and "password" go together/],
      [{ token: "hunter2", nkey: "hunter2" }, /one way to log in is enough, there are "token" and "nkey"/],
      [{ tls: { cert: "hunter2" } }, /"tls" has no option "cert"; did you mean "certFile"/],
      [{ tls: { certFile: "hunter2" } }, /needs "certFile" and "keyFile" together/],
      [{ connection: {} }, /"connection" must be a connection/],
      [{ leaseMs: 1 }, /"leaseMs" must be a whole number from 300/],
      [{ attach: { a: { stream: "x.y" } } }, /"attach" of "a": "stream"/],
      [{ attach: { a: { stream: "x", subjectPrefix: "shop" } } }, /"subjectPrefix" must be/],
      [{ inboxPrefix: "a.*" }, /"inboxPrefix" must be/],
    ] as const) {
      const error = ((): unknown => {
        try {
          return nats(options as NatsOptions);
        } catch (thrown) {
          return thrown;
        }
      })() as Error;
      expect(error.message).toMatch(message);
      expect(error).toMatchObject({ code: "BUS_INVALID_OPTION" });
      expect(error.message).not.toContain("hunter2");
    }
  });
});
