import type { Broker } from "../../scripts/brokers/broker.ts";
import { systemClock } from "../../src/clock.ts";
import { type ClientModule, type KafkaApi, loadClient, type Metadata } from "../../src/drivers/kafka/client.ts";
import { type Host, Link } from "../../src/drivers/kafka/link.ts";
import { Links } from "../../src/drivers/kafka/links.ts";
import { Producer } from "../../src/drivers/kafka/producer.ts";
import { Topology } from "../../src/drivers/kafka/topology.ts";
import { until } from "../../src/testing/until.ts";

const requestTimeoutMs = 2_000;

/** The client's requests that only tests send. */
interface TestModule {
  readonly createTopicsV7: { readonly api: KafkaApi<readonly unknown[], unknown> };
  readonly fetchV17: { readonly api: KafkaApi<readonly unknown[], FetchAnswer> };
}
interface FetchAnswer {
  readonly responses: readonly {
    readonly partitions: readonly {
      readonly records: readonly { readonly firstOffset: bigint; readonly records: readonly StoredRecord[] }[] | null;
    }[];
  }[];
}
interface StoredRecord {
  readonly value: Buffer;
}

/** The lower parts of the driver at a real broker; `via` is a proxy's port, by which the leaders are reached. */
export class KafkaParts implements Disposable {
  readonly module: ClientModule;
  readonly #tests: TestModule;
  readonly topology: Topology;
  readonly producer: Producer;
  readonly #host: Host;
  readonly #all: Links;
  readonly #leaders: Links;

  private constructor(module: ClientModule, host: Host, via: number | undefined, produceTimeoutMs: number) {
    this.module = module;
    this.#tests = module as unknown as TestModule;
    this.#host = host;
    const open = (to: Host, signal: AbortSignal): Promise<Link> => {
      const options = { clientId: "test", tls: undefined, sasl: undefined, connectTimeoutMs: requestTimeoutMs };
      return Link.open(module, to, options, systemClock, signal);
    };
    this.#all = new Links(open, systemClock);
    this.#leaders = new Links((to, signal) => open({ ...to, port: via ?? to.port }, signal), systemClock);
    this.topology = new Topology(async (topics) => {
      const link = await this.any();
      return await link.ask(module.metadataV12, [topics, false, false], requestTimeoutMs).catch((error: unknown) => {
        const { response } = error as { readonly response?: Metadata };
        if (response === undefined) throw error;
        return response; // one topic in error makes it one of the whole
      });
    }, systemClock);
    this.producer = new Producer({
      module,
      clock: systemClock,
      topology: this.topology,
      links: this.#leaders,
      any: () => this.any(),
      limits: { batchSize: 16, batchBytes: 900_000 },
      settings: { acks: -1, compression: "none", requestTimeoutMs: produceTimeoutMs },
    });
  }

  /** `produceTimeoutMs`: what is stored later than that is unknown. */
  static async at(broker: Broker, via?: number, produceTimeoutMs = requestTimeoutMs): Promise<KafkaParts> {
    const host = { host: "127.0.0.1", port: broker.servers[0]?.port ?? 0 };
    return new KafkaParts(await loadClient(), host, via, produceTimeoutMs);
  }

  any(): Promise<Link> {
    return this.#all.to(this.#host);
  }

  /** Also a moment after it was away. */
  async #back(): Promise<Link> {
    let link: Link | undefined;
    await until(async () => (link = await this.any().catch(() => undefined)) !== undefined, "the broker");
    return link as Link;
  }

  async makeTopic(name: string, numPartitions: number): Promise<void> {
    const topic = { name, numPartitions, replicationFactor: 1, assignments: [], configs: [] };
    const link = await this.any();
    await link.ask(this.#tests.createTopicsV7, [[topic], 5_000, false], requestTimeoutMs);
    this.topology.watch(name);
    await until(async () => {
      await this.topology.refresh();
      return this.topology.leader(name, numPartitions - 1) !== undefined;
    }, "a leader of its last partition");
  }

  /** What a partition holds: offset and value. */
  async read(topic: string, partition: number): Promise<readonly string[]> {
    const link = await this.#back();
    const place = {
      partition,
      fetchOffset: 0n,
      currentLeaderEpoch: -1,
      lastFetchedEpoch: -1,
      partitionMaxBytes: 2 ** 26,
    };
    const topics = [{ topicId: this.topology.place(topic)?.id, partitions: [place] }];
    const answer = await link.ask(this.#tests.fetchV17, [100, 1, 2 ** 26, 0, 0, -1, topics, [], ""], requestTimeoutMs);
    return answer.responses.flatMap(({ partitions }) =>
      partitions.flatMap(({ records }) =>
        (records ?? []).flatMap((batch) =>
          batch.records.map(({ value }, at) => `${batch.firstOffset + BigInt(at)} ${String(value)}`),
        ),
      ),
    );
  }

  [Symbol.dispose](): void {
    this.producer.close(new Error("the test is over"));
    this.#all.destroy();
    this.#leaders.destroy();
  }
}
