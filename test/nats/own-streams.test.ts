import { connect as connectClient, type NatsConnection } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import { type Bus, type BusOptions, connect } from "../../src/index.ts";
import { nats } from "../../src/drivers/nats/index.ts";
import { until } from "../../src/testing/until.ts";
import { groupSpec, joinGroup, letterOf, outgoing, toTopic } from "../support/driver-harness.ts";
import { fresh, LogBook, Tick } from "../support/events.ts";
import { natsServers, NatsWorld } from "../support/nats-world.ts";

const servers = await natsServers();
/** How long a group waits at most for what was made again. */
const soonMs = 5_000;

interface Info {
  readonly state?: { readonly messages: number };
}

/** What nobody may ask for by the bus: that alone would have it made again. */
class Server {
  readonly #client: NatsConnection;
  readonly #prefix: string;

  constructor(client: NatsConnection, prefix: string) {
    this.#client = client;
    this.#prefix = prefix;
  }

  async drop(what: string): Promise<void> {
    await this.#ask(`$JS.API.STREAM.DELETE.${this.#prefix}=${what}`);
  }

  /** Undefined: there is no such stream. */
  async messages(what: string): Promise<number | undefined> {
    const answer = await this.#client.request(`$JS.API.STREAM.INFO.${this.#prefix}=${what}`, undefined, {
      timeout: 10_000,
    });
    return answer.json<Info>().state?.messages;
  }

  async run(command: string): Promise<void> {
    const [, subject = "", body = ""] = /^nats req '([^']+)' '(.+)'$/m.exec(command) ?? [];
    await this.#ask(subject, body);
  }

  async #ask(subject: string, body = ""): Promise<void> {
    const { error } = (await this.#client.request(subject, body, { timeout: 10_000 })).json<{
      readonly error?: object;
    }>();
    if (error !== undefined) throw new Error(`${subject}: ${JSON.stringify(error)}`);
  }
}

describe.each(servers)("a stream of the driver's own that somebody deleted, at $name", (server) => {
  describe.skipIf(server.broker === undefined)("under a group that fails", () => {
    async function raw(prefix: string): Promise<Server> {
      const client = await connectClient({ servers: server.broker!.url });
      onTestFinished(() => client.close());
      return new Server(client, prefix);
    }

    async function open(prefix: string, options: BusOptions = {}): Promise<Bus> {
      const bus = await connect({ driver: nats({ servers: server.broker!.url }), prefix, ...options });
      onTestFinished(() => bus.close({ timeoutMs: 2_000 }).then(() => undefined));
      return bus;
    }

    const fail = (): void => {
      throw new Error("no");
    };

    it.each(["none", "group"] as const)("dead letters (order: %s) are kept within 5 s", async (order) => {
      const prefix = fresh(`o${process.pid}`);
      const [bus, at] = [await open(prefix), await raw(prefix)];
      await bus.subscribe(Tick, fail, { group: "g", order, retry: { maxAttempts: 1 } });
      await at.drop("l");
      await bus.publish(Tick, { n: 1 });
      await until(async () => (await at.messages("l")) === 1, "the letter", soonMs);
      expect(await bus.deadLetters.count({ group: "g" })).toBe(1);
      await until(async () => (await bus.groups.info("g")).inFlight === 0, "that nothing is left to settle", soonMs);
    });

    it.each(["none", "group"] as const)("notes of attempts (order: %s) are kept within 5 s", async (order) => {
      const prefix = fresh(`o${process.pid}`);
      const [bus, at] = [await open(prefix), await raw(prefix)];
      const retry = { maxAttempts: 50, backoff: { baseMs: 100, factor: 1, jitter: 0 } } as const;
      await bus.subscribe(Tick, fail, { group: "g", order, retry });
      await at.drop("n");
      await bus.publish(Tick, { n: 1 });
      await until(async () => (await at.messages("n")) === 1, "the note", soonMs);
    });

    it("notes that were taken away from what waits for its next attempt don't stop it", async () => {
      const prefix = fresh(`o${process.pid}`);
      const [bus, at] = [await open(prefix), await raw(prefix)];
      let times = 0;
      const failOnce = (): void => {
        times += 1;
        if (times === 1) fail();
      };
      const retry = { maxAttempts: 3, backoff: { baseMs: 500, factor: 1, jitter: 0 } } as const;
      await bus.subscribe(Tick, failOnce, { group: "g", order: "none", retry });
      await bus.publish(Tick, { n: 1 });
      await until(async () => (await at.messages("n")) === 1, "the note", soonMs);
      await at.drop("n");
      await until(() => times === 2, "the next attempt", soonMs);
    });

    it("what a member gives back as it leaves reaches the next one with its attempts", async () => {
      const world = new NatsWorld(server);
      const [one, two] = [await world.connect(), await world.connect()];
      const at = await raw(world.prefix);
      await one.ensureGroup(groupSpec("g"));
      const member = await joinGroup(one, "g");
      await at.drop("n");
      one.send([outgoing(toTopic("a"), "x").message]);
      await until(() => member.sink.messages.length === 1, "it");
      const [message] = member.sink.messages;
      const settlement = { how: "retry", message: message!, delayMs: 0, attempts: 3, headers: [] } as const;
      await until(
        async () => (await member.consumption.settle([settlement]))[0] === "done",
        "that it was given back",
        soonMs,
      );
      const next = await joinGroup(two, "g");
      const all = (): readonly { readonly attempts: number }[] => [
        ...member.sink.messages.slice(1),
        ...next.sink.messages,
      ];
      await until(() => all().length === 1, "it again");
      expect(all()[0]!.attempts).toBe(3);
    });

    it("letters in pieces are kept within 5 s, and those whose pieces are gone are never others'", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect();
      const at = await raw(world.prefix);
      await connection.ensureGroup(groupSpec("g"));
      const { sink, consumption } = await joinGroup(connection, "g", { messages: 10, bytes: 8_388_608 });
      const large = "x".repeat(connection.capabilities.maxMessageBytes! - 2_000);
      connection.send(["a", "b"].map((text) => outgoing(toTopic("a.b"), text + large).message));
      await until(() => sink.messages.length === 2, "both");
      const dead = async (index: number, id: string): Promise<boolean> => {
        const message = sink.messages[index]!;
        const headers = [["why", "y".repeat(4_000)]] as const;
        const letter = { ...letterOf(message, "g", id), headers };
        return (await consumption.settle([{ how: "dead", message, letter }]))[0] === "done";
      };
      expect(await dead(0, "g/first")).toBe(true);
      await at.drop("p");
      await until(() => dead(1, "g/second"), "the second letter", soonMs);
      expect(await connection.admin.letter("g/first")).toBeUndefined();
      expect((await connection.admin.letter("g/second"))!.body[0]).toBe("b".charCodeAt(0));
      expect((await connection.admin.letters("g", undefined, 10)).map(({ id }) => id)).toEqual(["g/second"]);
    });

    it.each(["verify", "off"] as const)("nothing is made by manage: %s, but what to make is said", async (manage) => {
      const prefix = fresh(`o${process.pid}`);
      await (await open(prefix)).close();
      const log = new LogBook();
      const [bus, at] = [await open(prefix, { manage, logger: log }), await raw(prefix)];
      await bus.subscribe(Tick, fail, { group: "g", retry: { maxAttempts: 1 } });
      await at.drop("l");
      await bus.publish(Tick, { n: 1 });
      const said = (): readonly string[] =>
        log.lines.map(({ message }) => message).filter((text) => /missing/.test(text));
      await until(() => said().length > 0, "to be told", soonMs);
      expect(said()[0]).toContain(`missing at the server: ${prefix}=l.`);
      expect(await at.messages("l")).toBeUndefined();
      await at.run(said()[0]!);
      await until(async () => (await at.messages("l")) === 1, "the letter", soonMs);
      expect(said()).toHaveLength(1); // once a minute, not with each try
    });
  });
});
