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
 * One request for batches of several partitions of one broker. Never rejects: each partition has an outcome of its own, but those that
 * were given up before it was written.
 */
export async function produce(
  module: ClientModule,
  link: Link,
  sent: readonly Sent[],
  id: ProducerId | undefined,
  time: number,
  { acks, compression, requestTimeoutMs }: ProduceSettings,
): Promise<readonly Told[]> {
  const packer = compression === "none" ? undefined : module.compressionsAlgorithms[compression];
  const encode = async ({ lane, batch }: Sent): Promise<PartitionBatch | Outcome> => {
    try {
      const head = { time, id, sequence: id === undefined ? 0 : batch.sequence };
      const encoded = encodeBatch(batch.parcels, head, module.crc32c, packer);
      return { partition: lane.partition, batch: Buffer.isBuffer(encoded) ? encoded : await encoded };
    } catch (cause) {
      return { what: "refused", verdict: ["BUS_SERVER", true], cause }; // the others go all the same
    }
  };
  const encoded = await Promise.all(sent.map(encode));
  const topics = new Map<string, PartitionBatch[]>();
  const written: Sent[] = [];
  const told: Told[] = [];
  for (const [at, each] of sent.entries()) {
    const batch = encoded[at]!;
    if ("what" in batch) told.push({ ...each, outcome: batch, offset: -1n });
    else if (each.lane.isStill(each.batch)) {
      written.push(each);
      const places = topics.get(each.lane.topic);
      if (places === undefined) topics.set(each.lane.topic, [batch]);
      else places.push(batch);
    }
  }
  if (written.length === 0) return told;
  let answer: ProduceAnswer | undefined;
  try {
    answer = await link.ask(produceMessage(module), [acks, requestTimeoutMs, topics], requestTimeoutMs);
  } catch (error) {
    answer = (error as { readonly response?: ProduceAnswer }).response;
    const outcome = error instanceof NoAnswer && !error.written ? undefined : noAnswer;
    if (answer === undefined) return [...told, ...written.map((each) => ({ ...each, outcome, offset: -1n }))];
  }
  if (acks === 0) return [...told, ...written.map((each) => ({ ...each, outcome: outcomeOf(0), offset: -1n }))];
  const places = new Map(
    answer.responses.flatMap(({ name, partitionResponses }) =>
      partitionResponses.map((each) => [placeOf(name, each.index), each] as const),
    ),
  );
  for (const each of written) {
    const place = places.get(placeOf(each.lane.topic, each.lane.partition));
    told.push(
      place === undefined
        ? { ...each, outcome: noAnswer, offset: -1n }
        : { ...each, outcome: outcomeOf(place.errorCode), offset: place.baseOffset },
    );
  }
  return told;
}
