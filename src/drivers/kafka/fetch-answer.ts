import type { ClientModule, ClientReader, KafkaApi } from "./client.ts";
import { ownMessage } from "./own-message.ts";
import { type FetchedBatch, readBatches } from "./record-batch.ts";

export interface FetchAsked {
  readonly topicId: string;
  readonly partition: number;
  readonly offset: number;
  readonly maxBytes: number;
}

export interface FetchedPartition {
  readonly topicId: string;
  readonly partition: number;
  /** Kafka's number; 0: none. */
  readonly errorCode: number;
  readonly end: number;
  /** The first offset that is still there. */
  readonly first: number;
  readonly batches: readonly FetchedBatch[];
}

type Args = readonly [asked: readonly FetchAsked[], maxWaitMs: number, maxBytes: number];

/** More than a batch that was packed may become: 100 bytes can be gigabytes. */
const mostUnpacked = 67_108_864;

/**
 * A fetch without a session: the driver's place is the only truth. Each partition has an error of its own, and a batch that can't be
 * read costs that batch alone, so the answer is read here.
 */
export function fetchMessage(module: ClientModule): {
  readonly api: KafkaApi<Args, readonly FetchedPartition[]>;
} {
  const { api, createRequest } = module.fetchV17;
  return ownMessage(
    api,
    (asked, maxWaitMs, maxBytes) => createRequest(maxWaitMs, 1, maxBytes, 1, 0, -1, topicsOf(asked), [], ""),
    (_, __, ___, reader) => parseAnswer(reader, module),
  );
}

function topicsOf(asked: readonly FetchAsked[]): readonly object[] {
  const topics = new Map<string, object[]>();
  for (const { topicId, partition, offset, maxBytes } of asked) {
    const place = {
      partition,
      fetchOffset: BigInt(offset),
      currentLeaderEpoch: -1,
      lastFetchedEpoch: -1,
      partitionMaxBytes: maxBytes,
    };
    const places = topics.get(topicId);
    if (places === undefined) topics.set(topicId, [place]);
    else places.push(place);
  }
  return [...topics].map(([topicId, partitions]) => ({ topicId, partitions }));
}

function parseAnswer(reader: ClientReader, module: ClientModule): readonly FetchedPartition[] {
  reader.readInt32(); // throttle
  reader.readInt16();
  reader.readInt32(); // session
  const topics = reader.readArray(
    (inTopic) => {
      const topicId = inTopic.readUUID();
      return inTopic.readArray((each) => parsePartition(each, topicId, module), true, false);
    },
    true,
    true,
  );
  reader.readTaggedFields();
  return topics.flat();
}

function parsePartition(reader: ClientReader, topicId: string, module: ClientModule): FetchedPartition {
  const partition = reader.readInt32();
  const errorCode = reader.readInt16();
  const end = Number(reader.readInt64());
  reader.readInt64(); // last stable
  const first = Number(reader.readInt64());
  const aborted = reader.readNullableArray((each) => ({ producerId: each.readInt64(), from: each.readInt64() })) ?? [];
  reader.readInt32(); // preferred replica
  const size = reader.readUnsignedVarInt() - 1;
  let batches: readonly FetchedBatch[] = [];
  if (size > 0) {
    const bytes = reader.buffer.slice(reader.position, reader.position + size);
    batches = readBatches(bytes, mostUnpacked, module.compressionsAlgorithmsByBitmask, aborted);
    reader.skip(size);
  }
  reader.readTaggedFields();
  return { topicId, partition, errorCode, end, first, batches };
}
