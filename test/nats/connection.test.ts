import { connect as connectClient, type NatsConnection } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import { connect, type Bus, type BusOptions } from "../../src/index.ts";
import { nats, type NatsClient } from "../../src/drivers/nats/index.ts";
import { until } from "../../src/testing/until.ts";
import { fresh, Seen, Tick } from "../support/events.ts";
import { natsServers } from "../support/nats-world.ts";

const servers = await natsServers();

/** `nats req '<subject>' '<body>'`, a line each. */
const commandsIn = (text: string): readonly { readonly subject: string; readonly body: string }[] =>
  [...text.matchAll(/^nats req '([^']+)' '(.+)'$/gm)].map(([, subject, body]) => ({ subject: subject!, body: body! }));

const rejection = (promise: Promise<unknown>): Promise<Error> =>
  promise.then(
    () => Promise.reject(new Error("it was not refused")),
    (error: unknown) => error as Error,
  );

describe.each(servers)("a connection to $name", (server) => {
  describe.skipIf(server.broker === undefined)("of a bus", () => {
    async function open(options: BusOptions = {}): Promise<{ readonly bus: Bus; readonly prefix: string }> {
      const prefix = options.prefix ?? fresh(`n${process.pid}`);
      const bus = await connect({ driver: nats({ servers: server.broker!.url }), ...options, prefix });
      onTestFinished(() => bus.close({ timeoutMs: 2_000 }).then(() => undefined));
      return { bus, prefix };
    }

    async function raw(): Promise<NatsConnection> {
      const client = await connectClient({ servers: server.broker!.url });
      onTestFinished(() => client.close());
      return client;
    }

    it("is made again when its client has closed for ever, and everything goes on", async () => {
      const { bus } = await open();
      const [grouped, tailed] = [new Seen(), new Seen()];
      await bus.subscribe(Tick, grouped.handle, { group: "g" });
      await bus.subscribe(Tick, tailed.handle);
      await bus.publish(Tick, { n: 1 });
      await until(() => grouped.count === 1 && tailed.count === 1, "the first");
      const said: string[] = [];
      bus.onStatus(({ type }) => void said.push(type));
      const before = bus.driver!.client as NatsClient;
      await before.close(); // as it does by itself when its password was changed
      await until(() => said.includes("connected"), "a new one", 10_000);
      expect(bus.driver!.client).not.toBe(before);
      expect(said).toContain("disconnected");
      await bus.publish(Tick, { n: 2 });
      await until(() => grouped.count === 2 && tailed.count === 2, "the second", 10_000);
      expect([grouped.numbers, tailed.numbers]).toEqual([
        [1, 2],
        [1, 2],
      ]);
    });

    it("makes again what was deleted behind its back, and events flow", async () => {
      const { bus, prefix } = await open({ streams: [{ name: "events", topics: [">"], maxMessages: 77 }] });
      const [grouped, tailed] = [new Seen(), new Seen()];
      await bus.subscribe(Tick, grouped.handle, { group: "g" });
      await bus.subscribe(Tick, tailed.handle);
      const client = await raw();
      for (const stream of [`${prefix}=s=events`, `${prefix}=q`, `${prefix}=l`, `${prefix}=n`, `KV_${prefix}`])
        await client.request(`$JS.API.STREAM.DELETE.${stream}`, undefined, { timeout: 10_000 });
      await bus.publish(Tick, { n: 1 });
      await until(() => grouped.count === 1 && tailed.count === 1, "the next event", 10_000);
      const info = await client.request(`$JS.API.STREAM.INFO.${prefix}=s=events`, undefined, { timeout: 10_000 });
      expect(info.json<{ readonly config: { readonly max_msgs: number } }>().config.max_msgs).toBe(77);
      await bus.send("g", Tick, { n: 2 });
      await until(() => grouped.count === 2, "what is sent to the group", 10_000);
    });

    it("takes no stream out of its routes that went with what the driver keeps for itself", async () => {
      const { bus, prefix } = await open({ streams: [{ name: "events", topics: [">"] }] });
      const client = await raw();
      const said: string[] = [];
      bus.onStatus(({ type }) => void said.push(type));
      for (const stream of [`${prefix}=s=events`, `KV_${prefix}`])
        await client.request(`$JS.API.STREAM.DELETE.${stream}`, undefined, { timeout: 10_000 });
      const exists = async (stream: string): Promise<boolean> =>
        (await client.request(`$JS.API.STREAM.INFO.${stream}`, undefined, { timeout: 10_000 })).json<{
          readonly config?: unknown;
        }>().config !== undefined;
      await until(() => exists(`${prefix}=s=events`), "the stream to be made again, though nobody publishes", 10_000);
      await bus.publish(Tick, { n: 1 });
      expect(said).not.toContain("error");
    });

    it("a tail that wants more gets nothing of it that was published before", async () => {
      const { bus } = await open();
      const [first, second] = [[] as string[], [] as string[]];
      await bus.subscribePattern("a.*", ({ topic }) => void first.push(topic));
      for (const topic of ["a.1", "b.1", "a.2", "b.2"]) await bus.publishTopic(topic, {});
      await bus.subscribePattern("b.*", ({ topic }) => void second.push(topic));
      for (const topic of ["b.3", "a.3"]) await bus.publishTopic(topic, {});
      await until(
        () => first.length === 3 && second.length === 1,
        () => `${first.join()} and ${second.join()}`,
      );
      expect([first, second]).toEqual([["a.1", "a.2", "a.3"], ["b.3"]]);
    });

    it("tells the server's version, and that nobody answers it when it is paused", async () => {
      const { bus } = await open();
      const health = await bus.health();
      expect(health.status).toBe("up");
      expect(JSON.stringify(health)).toContain(server.broker!.version);
    });

    it("verify names what is missing with the commands that make it, and makes nothing", async () => {
      const prefix = fresh(`v${process.pid}`);
      const client = await raw();
      const made: string[] = [];
      client.subscribe("$JS.API.STREAM.>", {
        callback: (_error, { subject }) => {
          if (/\.(?:CREATE|UPDATE)\./.test(subject) && subject.includes(prefix)) made.push(subject);
        },
      });
      await client.flush();
      const missing = await open({ prefix, manage: "verify" }).catch((error: unknown) => error as Error);
      expect(missing).toMatchObject({ code: "BUS_NOT_FOUND", retryable: false });
      const commands = commandsIn((missing as Error).message);
      const names = [`KV_${prefix}`, ...["=q", "=l", "=n", "=p"].map((name) => `${prefix}${name}`)];
      expect(commands.map(({ subject }) => subject)).toEqual(names.map((name) => `$JS.API.STREAM.CREATE.${name}`));
      expect(made).toEqual([]);
      const run = async (said: string): Promise<void> => {
        for (const { subject, body } of commandsIn(said))
          expect((await client.request(subject, body, { timeout: 10_000 })).json()).not.toHaveProperty("error");
      };
      await run((missing as Error).message); // as whoever may would do by hand
      const none = await open({ prefix, manage: "verify", streams: [] });
      const more = await rejection(none.bus.streams.ensure({ name: "events", topics: [">"] }));
      expect(more).toMatchObject({ code: "BUS_NOT_FOUND" });
      await run(more.message);
      await client.flush(); // our own have been overheard by then
      made.length = 0;
      const { bus } = await open({ prefix, manage: "verify" });
      const seen = new Seen();
      await bus.subscribe(Tick, seen.handle, { group: "g" });
      await bus.publish(Tick, { n: 1 });
      await until(() => seen.count === 1, "the event");
      const grown = await rejection(bus.streams.ensure({ name: "events", topics: [">", "x"] }));
      expect(grown.message).toContain("doesn't capture x");
      await run(grown.message);
      await client.flush(); // our own have been overheard by then
      made.length = 0;
      expect(await bus.streams.ensure({ name: "events", topics: [">", "x"] })).toBe("unchanged");
      expect(made).toEqual([]);
    });
  });
});
