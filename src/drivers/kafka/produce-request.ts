import type { ClientModule, KafkaApi, ProduceAnswer } from "./client.ts";

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
  const {
    api: { key, version },
    parseResponse,
  } = module.produceV11;
  return {
    api: {
      key,
      version,
      async: (connection, acks, timeoutMs, topics) =>
        new Promise((resolve, reject) => {
          const request = (): unknown => requestOf(module, acks, timeoutMs, topics);
          connection.send(key, version, request, parseResponse, true, true, (error, answer) => {
            if (error === null || error === undefined) resolve(answer as ProduceAnswer);
            else reject(error as Error);
          });
        }),
    },
  };
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
