import type { Broker } from "../../scripts/brokers/broker.ts";
import { systemClock } from "../../src/clock.ts";
import { type ClientModule, type KafkaApi, loadClient, type Metadata } from "../../src/drivers/kafka/client.ts";
import { Link } from "../../src/drivers/kafka/link.ts";
import { until } from "../../src/testing/until.ts";

const timeoutMs = 10_000;
let prefixes = 0;

/** A name that no other test of this run uses. */
export function freshPrefix(): string {
  prefixes += 1;
  return `t${process.pid}-${prefixes}-${Math.random().toString(36).slice(2, 8)}`;
}

/** A connection for what a test wants to know of the broker, or to do behind the driver's back. */
export async function testLink(broker: Broker): Promise<{ readonly module: ClientModule; readonly link: Link }> {
  const module = await loadClient();
  const host = { host: "127.0.0.1", port: broker.servers[0]?.port ?? 0 };
  const { user: username = "", password = "" } = broker.login ?? {};
  const sasl = broker.login === undefined ? undefined : { mechanism: "PLAIN" as const, username, password };
  const options = { clientId: "test", tls: undefined, sasl, connectTimeoutMs: timeoutMs };
  return { module, link: await Link.open(module, host, options, systemClock, AbortSignal.timeout(timeoutMs)) };
}

/** The topics of a prefix, and what it began with. */
export async function forgetTopics(broker: Broker, prefix: string): Promise<void> {
  const { module, link } = await testLink(broker);
  try {
    const all = module.metadataV12 as { readonly api: KafkaApi<readonly unknown[], Metadata> };
    let refusal: unknown;
    const gone = async (): Promise<boolean> => {
      const { topics } = await link.ask(all, [null, false, false], timeoutMs);
      const names = topics.flatMap(({ name }) => (name?.startsWith(`${prefix}.`) === true ? [{ name }] : []));
      if (names.length === 0) return true;
      try {
        await link.ask(module.deleteTopicsV6, [names, timeoutMs], timeoutMs * 2);
        return true;
      } catch (error) {
        refusal = error; // a live group's last member may just be deleting the same
        return false;
      }
    };
    await until(gone, () => `the topics of ${prefix} to be gone: ${String(refusal)}`, timeoutMs);
  } finally {
    link.destroy();
  }
}

interface RawBatch {
  readonly attributes: number;
  readonly firstOffset: bigint;
  readonly records: readonly { readonly value: Buffer }[];
}
type Raw = {
  readonly responses: readonly { readonly partitions: readonly { readonly records: readonly RawBatch[] | null }[] }[];
};

/** How a partition's records were written: those of a batch went together. */
export async function batchesOf(broker: Broker, topic: string, partition = 0): Promise<readonly RawBatch[]> {
  const { module, link } = await testLink(broker);
  try {
    const { topics } = await link.ask(module.metadataV12, [[topic], false, false], timeoutMs);
    const place = {
      ...{ partition, fetchOffset: 0n, currentLeaderEpoch: -1, lastFetchedEpoch: -1, partitionMaxBytes: 2 ** 26 },
    };
    const asked = [{ topicId: topics[0]?.topicId, partitions: [place] }];
    const fetch = module.fetchV17 as unknown as { readonly api: KafkaApi<readonly unknown[], Raw> };
    const answer = await link.ask(fetch, [100, 1, 2 ** 26, 0, 0, -1, asked, [], ""], timeoutMs);
    return answer.responses.flatMap(({ partitions }) => partitions.flatMap(({ records }) => records ?? []));
  } finally {
    link.destroy();
  }
}
