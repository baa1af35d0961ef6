import type { ClientModule, ProduceAnswer, ProducerId } from "./client.ts";
import { NoAnswer } from "./errors.ts";
import type { Batch, Lane } from "./lane.ts";
import type { Link } from "./link.ts";
import { type Outcome, outcomeOf } from "./outcome.ts";
import { type PartitionBatch, produceMessage } from "./produce-request.ts";
import { encodeBatch } from "./record-encoder.ts";

export interface ProduceSettings {
  /** With 0 and 1 there is no producer id, and trying again may store twice. */
  readonly acks: 0 | 1 | -1;
  readonly compression: "none" | "gzip" | "snappy" | "lz4" | "zstd";
  readonly requestTimeoutMs: number;
}

/** A batch on its way, and what became of it. */
export interface Sent {
  readonly lane: Lane;
  readonly batch: Batch;
}
export interface Told extends Sent {
  /** Undefined: it was not even written. */
  readonly outcome: Outcome | undefined;
  readonly offset: bigint;
}

const noAnswer: Outcome = { what: "again", certain: false, leaderMoved: true };
const placeOf = (topic: string, partition: number): string => `${topic}:${partition}`;

/**
 * One request for batches of several partitions of one broker; each partition has an outcome of its own. Rejects when a batch can't
 * be packed, and nothing was sent then.
 */
export async function produce(
  module: ClientModule,
  link: Link,
  sent: readonly Sent[],
  id: ProducerId | undefined,
  time: number,
  { acks, compression, requestTimeoutMs }: ProduceSettings,
): Promise<readonly Told[]> {
  const topics = new Map<string, PartitionBatch[]>();
  const packer = compression === "none" ? undefined : module.compressionsAlgorithms[compression];
  for (const { lane, batch } of sent) {
    const { topic, partition } = lane;
    const head = { time, id, sequence: id === undefined ? 0 : batch.sequence };
    const encoded = encodeBatch(batch.parcels, head, module.crc32c, packer);
    const place = { partition, batch: Buffer.isBuffer(encoded) ? encoded : await encoded };
    const places = topics.get(topic);
    if (places === undefined) topics.set(topic, [place]);
    else places.push(place);
  }
  let answer: ProduceAnswer | undefined;
  try {
    answer = await link.ask(produceMessage(module), [acks, requestTimeoutMs, topics], requestTimeoutMs);
  } catch (error) {
    answer = (error as { readonly response?: ProduceAnswer }).response;
    if (answer === undefined) {
      const outcome = error instanceof NoAnswer && !error.written ? undefined : noAnswer;
      return sent.map((each) => ({ ...each, outcome, offset: -1n }));
    }
  }
  if (acks === 0) return sent.map((each) => ({ ...each, outcome: outcomeOf(0), offset: -1n }));
  const places = new Map(
    answer.responses.flatMap(({ name, partitionResponses }) =>
      partitionResponses.map((each) => [placeOf(name, each.index), each] as const),
    ),
  );
  return sent.map((each) => {
    const told = places.get(placeOf(each.lane.topic, each.lane.partition));
    return told === undefined
      ? { ...each, outcome: noAnswer, offset: -1n }
      : { ...each, outcome: outcomeOf(told.errorCode), offset: told.baseOffset };
  });
}
