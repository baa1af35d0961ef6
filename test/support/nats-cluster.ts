import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectClient, type NatsConnection } from "@nats-io/transport-node";
import { onTestFinished } from "vitest";
import type { Broker, BrokerServer } from "../../scripts/brokers/broker.ts";
import { connect, Reject, type Bus, type BusOptions } from "../../src/index.ts";
import { nats, type NatsClient, type NatsOptions } from "../../src/drivers/nats/index.ts";
import { until } from "../../src/testing/until.ts";
import { fresh, Keyed, type LogBook, type KeyedCount } from "./events.ts";

interface Info {
  readonly config?: { readonly num_replicas: number };
  readonly cluster?: { readonly leader?: string };
  readonly state?: { readonly messages: number };
}

interface Consumers {
  readonly consumers?: readonly {
    readonly name: string;
    readonly config: { readonly num_replicas: number };
    readonly cluster?: { readonly leader?: string };
  }[];
}

/** A prefix of its own at a cluster whose servers all run when it begins. */
export class NatsCluster {
  readonly prefix: string = fresh(`c${process.pid}`);
  readonly urls: readonly string[];
  readonly client: NatsConnection;
  readonly #servers: readonly BrokerServer[];

  private constructor(broker: Broker, client: NatsConnection) {
    this.#servers = broker.servers;
    this.urls = urlsOf(broker);
    this.client = client;
  }

  static async open(broker: Broker): Promise<NatsCluster> {
    await broker.start(); // what the last test left
    const client = await connectClient({
      servers: [...urlsOf(broker)],
      reconnectTimeWait: 100,
      maxReconnectAttempts: -1,
    });
    onTestFinished(() => client.close());
    return new NatsCluster(broker, client);
  }

  /** That of the events is the first. */
  get streams(): readonly string[] {
    return [...["=s=events", "=q", "=l", "=n", "=p"].map((end) => this.prefix + end), `KV_${this.prefix}`];
  }

  /** Three copies of all, unless told otherwise. */
  async bus(options: NatsOptions = { replicas: 3 }, more: BusOptions = {}): Promise<Bus> {
    const { replicas } = options;
    const bus = await connect({
      driver: nats({ servers: this.urls, ...options }),
      prefix: this.prefix,
      streams: [{ name: "events", topics: [">"], partitions: 2, replicas, maxBytes: 10_000_000 }],
      ...more,
    });
    onTestFinished(() => bus.close({ timeoutMs: 2_000 }).then(() => undefined));
    return bus;
  }

  /** Undefined while nobody knows. */
  async info(stream: string): Promise<Info | undefined> {
    const asked = this.client.request(`$JS.API.STREAM.INFO.${stream}`, "", { timeout: 1_000 });
    return await asked.then(
      (answer) => answer.json<Info>(),
      () => undefined,
    );
  }

  async leader(stream: string): Promise<BrokerServer> {
    let name = "";
    await until(async () => (name = (await this.info(stream))?.cluster?.leader ?? "") !== "", "a leader");
    return this.#named(name);
  }

  /** The one that the bus is connected to. */
  of(bus: Bus): BrokerServer {
    return this.#named((bus.driver!.client as NatsClient).info!.server_name!);
  }

  others(than: BrokerServer): readonly BrokerServer[] {
    return this.#servers.filter((server) => server !== than);
  }

  /** Hands on what it leads of this prefix; what has one copy stays where it is. */
  async relieve(server: BrokerServer): Promise<void> {
    const isLed = (by: Info["cluster"]): boolean => by?.leader !== undefined && this.#named(by.leader) === server;
    const stepDown = (what: string): Promise<unknown> =>
      this.client.request(`$JS.API.${what}`, "", { timeout: 1_000 }).catch(() => undefined);
    const led = async (): Promise<number> => {
      let count = 0;
      for (const stream of this.streams) {
        if (isLed((await this.info(stream))?.cluster)) {
          count += 1;
          await stepDown(`STREAM.LEADER.STEPDOWN.${stream}`);
        }
        const asked = this.client.request(`$JS.API.CONSUMER.LIST.${stream}`, "", { timeout: 1_000 });
        const answer = await asked.catch(() => undefined); // the leader is being chosen
        if (answer === undefined) count += 1;
        for (const { name, config, cluster } of answer?.json<Consumers>().consumers ?? [])
          if (config.num_replicas !== 1 && isLed(cluster)) {
            count += 1;
            await stepDown(`CONSUMER.LEADER.STEPDOWN.${stream}.${name}`);
          }
      }
      return count;
    };
    await until(async () => (await led()) === 0, "others to lead");
  }

  /**
   * When the last of those was chosen that lead what is of this prefix, by `performance.now()`; or when the cluster's own
   * leader answered again, without whom no consumer is made.
   */
  elections(): { readonly last: () => number } {
    let last = performance.now();
    const subscription = this.client.subscribe("$JS.EVENT.ADVISORY.*.LEADER_ELECTED.>", {
      callback: (_error, { subject }) => {
        if (subject.includes(this.prefix)) last = performance.now();
      },
    });
    let ended = false;
    const watching = (async (): Promise<void> => {
      for (let answered = true; !ended; await sleep(50)) {
        const asked = this.client.request("$JS.API.STREAM.NAMES", "{}", { timeout: 250 });
        const answers = await asked.then(
          (answer) => !("error" in answer.json<object>()),
          () => false,
        );
        if (answers && !answered) last = performance.now();
        answered = answers;
      }
    })();
    onTestFinished(async () => {
      ended = true;
      subscription.unsubscribe();
      await watching;
    });
    return { last: () => last };
  }

  #named(name: string): BrokerServer {
    return this.#servers[Number(name.slice(name.lastIndexOf("-") + 1)) - 1]!;
  }
}

const urlsOf = ({ servers }: Broker): readonly string[] => servers.map(({ port }) => `127.0.0.1:${port}`);

/** Publishes on, each of four keys by itself, whatever happens; what was acknowledged counts. */
export class Publishing {
  readonly stored = new Set<number>();
  readonly failures: unknown[] = [];
  readonly #lanes: readonly Promise<void>[];
  #next = 0;
  #ended = false;

  constructor(bus: Bus) {
    this.#lanes = ["a", "b", "c", "d"].map((of) => this.#run(bus, of));
  }

  async #run(bus: Bus, of: string): Promise<void> {
    while (!this.#ended) {
      const n = (this.#next += 1);
      try {
        await bus.publish(Keyed, { n, of });
        this.stored.add(n);
      } catch (error) {
        this.failures.push(error);
      }
      await sleep(20);
    }
  }

  async end(): Promise<void> {
    this.#ended = true;
    await Promise.all(this.#lanes);
  }
}

/** What a group has handled; every tenth of them becomes a dead letter. */
export class Handled {
  /** When each was first, by `performance.now()`. */
  readonly first = new Map<number, number>();
  readonly repeated: number[] = [];
  readonly outOfOrder: number[] = [];
  readonly #last = new Map<string, number>();
  readonly #rejects: boolean;

  constructor(rejects: boolean) {
    this.#rejects = rejects;
  }

  readonly handle = ({ data }: { readonly data: KeyedCount }): void => {
    const { n, of } = data;
    if (this.first.has(n)) this.repeated.push(n);
    else {
      this.first.set(n, performance.now());
      if (n < (this.#last.get(of) ?? 0)) this.outOfOrder.push(n);
      this.#last.set(of, n);
    }
    if (this.#rejects && n % 10 === 0) throw new Reject("it is one of ten");
  };

  has(numbers: Iterable<number>): boolean {
    return [...numbers].every((n) => this.first.has(n));
  }
}

/** What the driver warns of. */
export const warningsOf = (log: LogBook): readonly string[] =>
  log.lines
    .filter(({ level, message }) => level === "warn" && message.startsWith("nats: "))
    .map(({ message }) => message);
