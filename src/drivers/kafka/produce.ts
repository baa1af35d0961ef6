import type { ClientModule, ProduceAnswer, ProducerId } from "./client.ts";
import { NoAnswer } from "./errors.ts";
import type { Batch, Lane, Parcel } from "./lane.ts";
import type { Link } from "./link.ts";
import { type Outcome, outcomeOf } from "./outcome.ts";

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

const record = (topic: string, partition: number, { key, value, headers }: Parcel): object => ({
  topic,
  partition,
  key,
  value,
  headers,
});

/** One request for batches of several partitions of one broker. Never rejects: each partition has an outcome of its own. */
export async function produce(
  module: ClientModule,
  link: Link,
  sent: readonly Sent[],
  id: ProducerId | undefined,
  { acks, compression, requestTimeoutMs }: ProduceSettings,
): Promise<readonly Told[]> {
  const sequences = new Map(sent.map(({ lane, batch }) => [placeOf(lane.topic, lane.partition), batch.sequence]));
  const records = sent.flatMap(({ lane, batch }) =>
    batch.parcels.map((parcel) => record(lane.topic, lane.partition, parcel)),
  );
  const options = {
    compression,
    ...(id === undefined ? {} : { ...id, sequences: { getWithDefault: (place: string) => sequences.get(place) ?? 0 } }),
  };
  let answer: ProduceAnswer | undefined;
  try {
    answer = await link.ask(module.produceV11, [acks, requestTimeoutMs, records, options], requestTimeoutMs);
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
