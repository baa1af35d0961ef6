import type { ClientModule, KafkaApi, ProduceAnswer } from "./client.ts";
import { ownMessage } from "./own-message.ts";

export interface PartitionBatch {
  readonly partition: number;
  /** As `encodeBatch` makes it. */
  readonly batch: Buffer;
}
/** By topic. */
export type ProduceTopics = ReadonlyMap<string, readonly PartitionBatch[]>;

type Args = readonly [acks: 0 | 1 | -1, timeoutMs: number, topics: ProduceTopics];

/**
 * Stores batches that are encoded already: the client's own request makes a buffer of each number and copies them all together,
 * which takes more time than everything else of a publish.
 */
export function produceMessage(module: ClientModule): { readonly api: KafkaApi<Args, ProduceAnswer> } {
  const { api, parseResponse } = module.produceV11;
  return ownMessage(api, (...args) => requestOf(module, ...args), parseResponse);
}

function requestOf(module: ClientModule, acks: number, timeoutMs: number, topics: ProduceTopics): unknown {
  const writer = module.Writer.create()
    .appendString(null) // no transaction
    .appendInt16(acks)
    .appendInt32(timeoutMs)
    .appendUnsignedVarInt(topics.size + 1);
  for (const [topic, partitions] of topics) {
    writer.appendString(topic).appendUnsignedVarInt(partitions.length + 1);
    for (const { partition, batch } of partitions)
      writer
        .appendInt32(partition)
        .appendUnsignedVarInt(batch.length + 1)
        .append(batch)
        .appendTaggedFields();
    writer.appendTaggedFields();
  }
  writer.appendTaggedFields();
  if (acks === 0) writer.context.noResponse = true;
  return writer;
}
