import type { Cluster } from "./cluster.ts";
import { mayNotRead, NoAnswer, unauthorized } from "./errors.ts";
import { fetchMessage } from "./fetch-answer.ts";
import type { Links } from "./links.ts";
import type { FetchedRecord } from "./record-batch.ts";

const roomBytes = 1_048_576;

/** Reads single records by their places. */
export class RecordReader {
  readonly #cluster: Cluster;
  readonly #links: Links;
  readonly #message: ReturnType<typeof fetchMessage>;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#links = cluster.links();
    this.#message = fetchMessage(cluster.module);
  }

  /** The records from there on that come in one answer; empty: there are none. */
  async read(topic: string, partition: number, offset: number): Promise<readonly FetchedRecord[]> {
    const { cluster } = { cluster: this.#cluster };
    return await cluster.retried(async () => {
      const { topology } = cluster;
      topology.watch(topic);
      if (topology.leader(topic, partition) === undefined) await topology.refresh();
      const host = topology.leader(topic, partition);
      const topicId = topology.place(topic)?.id;
      if (host === undefined || topicId === undefined) throw new NoAnswer(`nobody leads ${topic}`, false);
      const link = await this.#links.to(host);
      const asked = [{ topicId, partition, offset, maxBytes: roomBytes }];
      const [found] = await link.ask(this.#message, [asked, 0, roomBytes], cluster.requestTimeoutMs);
      if (found === undefined) return [];
      if (found.errorCode === unauthorized) throw mayNotRead(topic);
      if (found.errorCode !== 0 && found.errorCode !== 1) {
        await topology.refresh();
        throw new NoAnswer("the partition's leader moved", false);
      }
      return found.batches.flatMap(({ records }) => records.filter((each) => each.offset >= offset));
    });
  }
}
