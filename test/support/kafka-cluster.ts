import type { Broker, BrokerServer } from "../../scripts/brokers/broker.ts";
import { systemClock } from "../../src/clock.ts";
import { type ClientModule, type KafkaApi, loadClient, type Metadata } from "../../src/drivers/kafka/client.ts";
import { Link } from "../../src/drivers/kafka/link.ts";

const timeoutMs = 5_000;

type Partition = Metadata["topics"][number]["partitions"][number] & { readonly isrNodes: readonly number[] };

/** What a test wants to know of a cluster, whichever of its servers run. */
export class KafkaCluster {
  readonly #broker: Broker;

  constructor(broker: Broker) {
    this.#broker = broker;
  }

  get urls(): readonly string[] {
    return this.#broker.servers.map(({ port }) => `127.0.0.1:${port}`);
  }

  /** Who leads each partition of a topic; undefined: nobody does. */
  async leaders(topic: string, by?: BrokerServer): Promise<readonly (BrokerServer | undefined)[]> {
    const partitions = (await this.#partitions(by)).filter(([name]) => name === topic);
    return partitions.map(([, { leaderId }]) => this.#broker.servers[leaderId - 1]);
  }

  /** Who keeps a group; undefined: nobody knows. */
  async coordinator(group: string, by?: BrokerServer): Promise<BrokerServer | undefined> {
    return await this.#ask(by, async (module, link) => {
      const { coordinators } = await link.ask(module.findCoordinatorV6, [0, [group]], timeoutMs).catch(() => none);
      return this.#broker.servers.find(({ port }) => coordinators[0]?.port === port);
    });
  }

  /** Every other one knows that others lead all partitions of a topic, and that one of them keeps the group, which it does. */
  async hasMovedFrom(server: BrokerServer, topic: string, group: string): Promise<boolean> {
    for (const by of this.#broker.servers.filter((each) => each !== server)) {
      const keeper = await this.coordinator(group, by);
      const all = [...(await this.leaders(topic, by)), keeper];
      if (all.includes(server) || all.includes(undefined)) return false;
      const describes = this.#ask(keeper, (module, link) =>
        link.ask(module.describeGroupsV5, [[group], false], timeoutMs),
      );
      if (!(await describes.then(...told))) return false;
    }
    return true;
  }

  /** Every server has a copy of all that is in any topic. */
  async isWhole(): Promise<boolean> {
    return (await this.#partitions()).every(([, { isrNodes }]) => isrNodes.length === this.#broker.servers.length);
  }

  #partitions(by?: BrokerServer): Promise<readonly (readonly [topic: string | null, Partition])[]> {
    return this.#ask(by, async (module, link) => {
      const all = module.metadataV12 as { readonly api: KafkaApi<readonly unknown[], Metadata> };
      const { topics } = await link.ask(all, [null, false, false], timeoutMs);
      return topics.flatMap(({ name, partitions }) => partitions.map((each) => [name, each as Partition] as const));
    });
  }

  async #ask<Answer>(
    by: BrokerServer | undefined,
    question: (module: ClientModule, link: Link) => Promise<Answer>,
  ): Promise<Answer> {
    const module = await loadClient();
    const host = { host: "127.0.0.1", port: (by ?? this.#broker.servers[0])?.port ?? 0 };
    const options = { clientId: "test", tls: undefined, sasl: undefined, connectTimeoutMs: timeoutMs };
    const link = await Link.open(module, host, options, systemClock, AbortSignal.timeout(timeoutMs));
    try {
      return await question(module, link);
    } finally {
      link.destroy();
    }
  }
}

const none = { coordinators: [] as readonly { readonly port: number }[] };
const told = [() => true, () => false] as const;
