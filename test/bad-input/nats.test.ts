import { connect as connectClient, headers as newHeaders, type NatsConnection } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import { connect, type Bus, type BusOptions } from "../../src/index.ts";
import { nats } from "../../src/drivers/nats/index.ts";
import { until } from "../../src/testing/until.ts";
import { plainJson } from "../../src/wire.ts";
import { fresh, Seen, Tick } from "../support/events.ts";
import { natsServers } from "../support/nats-world.ts";

const servers = await natsServers();

describe.each(servers)("bad input at $name", (server) => {
  describe.skipIf(server.broker === undefined)("is refused or carried", () => {
    const url = (): string => server.broker!.url;

    async function raw(): Promise<NatsConnection> {
      const client = await connectClient({ servers: url() });
      onTestFinished(() => client.close());
      return client;
    }

    async function open(options: BusOptions = {}): Promise<{ readonly bus: Bus; readonly prefix: string }> {
      const prefix = options.prefix ?? fresh(`b${process.pid}`);
      const bus = await connect({
        driver: nats({ servers: url() }),
        publishing: { retry: { maxAttempts: 1 } },
        ...options,
        prefix,
      });
      onTestFinished(() => bus.close().then(() => undefined));
      return { bus, prefix };
    }

    it("a topic that is a command, a pattern or no subject reaches no server", async () => {
      const { bus } = await open();
      const topics = [
        "a b",
        "a\r\nPUB x 0",
        "*",
        ">",
        "a.*",
        "a.>",
        "a..b",
        ".a",
        "a.",
        "$JS.API.INFO",
        "$SYS.x",
        "_INBOX.x",
        "a\0b",
        "a\u00a0b",
      ];
      for (const topic of topics)
        await expect(bus.publishTopic(topic, {})).rejects.toMatchObject({ code: "BUS_INVALID_TOPIC" });
      expect((await bus.streams.info("events")).messages).toBe(0);
    });

    it("topics, keys, ids and groups that are awkward are carried as they are", async () => {
      const { bus } = await open();
      const got: string[] = [];
      await bus.subscribePattern(">", ({ topic, key, id }) => void got.push(`${topic}|${key}|${id}`), {
        group: "__proto__",
      });
      const sent: string[] = [];
      for (const topic of ["constructor", "é.ß", "A.a", "q", "s.0"])
        for (const key of [" k ", "%", "%zz", "ключ", "a: b"]) {
          const id = `${topic}/${sent.length} ✓`;
          await bus.publishTopic(topic, {}, { key, id });
          sent.push(`${topic}|${key}|${id}`);
        }
      await until(
        () => got.length === sent.length,
        () => `${got.length} of ${sent.length}`,
        10_000,
      );
      expect(got.toSorted()).toEqual(sent.toSorted());
    });

    it("a message above the server's live limit is refused, and the next one goes through", async () => {
      const { bus } = await open({ maxMessageBytes: 8_388_608 });
      const publish = (bytes: number): Promise<unknown> => bus.publishTopic("big", "x".repeat(bytes));
      await expect(publish(1_100_000)).rejects.toMatchObject({ code: "BUS_TOO_LARGE" });
      await expect(publish(1_048_576)).rejects.toMatchObject({ code: "BUS_TOO_LARGE" });
      await publish(1_000_000);
      expect((await bus.streams.info("events")).messages).toBe(1);
    });

    it("what others write into our stream: garbage is a dead letter with its bytes, plain JSON goes through its mapping", async () => {
      const format = plainJson<{ readonly event: string }>({ name: "warehouse", type: "event" });
      const { bus, prefix } = await open({ wire: { foreign: [{ topics: "warehouse.>", format }] } });
      const seen = new Seen();
      const mapped: unknown[] = [];
      await bus.subscribe(Tick, seen.handle, { group: "g" });
      await bus.subscribePattern("warehouse.>", ({ data, type }) => void mapped.push([type, data]), { group: "g" });
      const client = await raw();
      const garbage = [
        Buffer.from([0xff, 0xfe, 0]),
        Buffer.from("{"),
        Buffer.from(""),
        Buffer.from('{"n":1}'),
        Buffer.from("\x1b]0;x"),
      ];
      for (const body of garbage) await client.request(`${prefix}.s.events.0.tick`, body);
      const headers = newHeaders();
      headers.append("Twice", "1");
      headers.append("Twice", "2");
      headers.append("omnibus-done", "everybody");
      await client.request(`${prefix}.s.events.1.warehouse.stock`, '{"event":"moved","n":3}', {
        headers,
        timeout: 2_000,
      });
      await bus.publish(Tick, { n: 1 });
      await until(() => seen.count === 1 && mapped.length === 1, "the good ones", 10_000);
      await until(async () => (await bus.deadLetters.count()) === garbage.length, "the letters", 10_000);
      expect(mapped).toEqual([["moved", { event: "moved", n: 3 }]]);
      const { items } = await bus.deadLetters.list();
      expect(items.map(({ reason }) => reason.code)).toEqual(items.map(() => "BUS_UNDECODABLE"));
      const bytes = items.map(({ raw: body }) => Buffer.from(body).toString("hex")).toSorted();
      expect(bytes).toEqual(garbage.map((body) => body.toString("hex")).toSorted());
    });

    it("what others write into our queue, letters, notes and bucket harms nobody", async () => {
      const { bus, prefix } = await open();
      const seen = new Seen();
      await bus.subscribe(Tick, seen.handle, { group: "g" });
      const client = await raw();
      for (const subject of [
        `${prefix}.q.g.tick`,
        `${prefix}.l.g.nonsense`,
        `${prefix}.l.only`,
        `${prefix}.n.g.events.1`,
        `$KV.${prefix}.m.nobody`,
        `$KV.${prefix}.g.other`,
        `$KV.${prefix}.o.g.events.0x`,
        `$KV.${prefix}.c.x`,
        `$KV.${prefix}.e.x`,
        `$KV.${prefix}.a.b.c`,
        `${prefix}.d.tick`,
        `${prefix}.r.tick`,
      ])
        client.publish(subject, "garbage");
      await client.flush();
      await bus.publish(Tick, { n: 1 });
      await until(() => seen.count === 1, "the good one", 10_000);
      await until(
        async () => (await bus.deadLetters.count({ group: "g" })) >= 1,
        "what is in the queue to be a letter",
        10_000,
      );
      expect((await bus.groups.list()).map(({ group }) => group)).toEqual(["g"]);
      const { bus: another } = await open({ prefix });
      await another.publish(Tick, { n: 2 });
      await until(() => seen.count === 2, "a bus that came later", 10_000);
    });

    it("a stream of our name with other subjects, or of another name with ours, is refused and left alone", async () => {
      const client = await raw();
      const made = async (name: string, subjects: readonly string[]): Promise<void> => {
        const answer = await client.request(`$JS.API.STREAM.CREATE.${name}`, JSON.stringify({ name, subjects }), {
          timeout: 10_000,
        });
        expect(answer.json()).not.toHaveProperty("error");
        onTestFinished(
          async () =>
            void (await client
              .request(`$JS.API.STREAM.DELETE.${name}`, undefined, { timeout: 10_000 })
              .catch(() => undefined)),
        );
      };
      for (const which of ["=s=events", "=q"]) {
        const prefix = fresh(`c${process.pid}`);
        await made(`${prefix}${which}`, [`${prefix}.other`]);
        await expect(open({ prefix })).rejects.toMatchObject({ code: "BUS_CONFLICT" });
        const info = await client.request(`$JS.API.STREAM.INFO.${prefix}${which}`, undefined, { timeout: 10_000 });
        expect(info.json<{ config: { subjects: string[] } }>().config.subjects).toEqual([`${prefix}.other`]);
      }
      for (const subject of ["s.>", "q.>", "d.>", "r.>", "i.>"]) {
        const prefix = fresh(`d${process.pid}`);
        await made(`OTHER-${prefix}`, [`${prefix}.${subject}`]);
        await expect(open({ prefix })).rejects.toMatchObject({ code: "BUS_CONFLICT" });
      }
    });

    it("two buses of one prefix that want a stream differently: the last one's limits stand, partitions can't differ", async () => {
      const { bus, prefix } = await open({ streams: [{ name: "events", topics: [">"], maxMessages: 10 }] });
      await open({ prefix, streams: [{ name: "events", topics: [">"], maxMessages: 20 }] });
      await bus.publish(Tick, { n: 1 });
      const different = { prefix, streams: [{ name: "events", topics: [">"], partitions: 3 }] };
      await expect(open(different)).rejects.toMatchObject({ code: "BUS_CONFLICT" });
      await expect(open({ prefix, streams: [{ name: "two", topics: [">"] }] })).rejects.toMatchObject({
        code: "BUS_CONFLICT",
      });
    });

    it("a layout of a newer version is refused, and left alone", async () => {
      const { bus, prefix } = await open();
      await bus.close();
      const client = await raw();
      await client.request(`$KV.${prefix}.layout`, "7");
      await expect(open({ prefix })).rejects.toMatchObject({ code: "BUS_UNSUPPORTED", retryable: false });
    });
  });
});
