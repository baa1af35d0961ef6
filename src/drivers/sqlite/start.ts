import type { StartAt } from "../../driver.ts";
import { partitionName, type StreamRow, type Streams } from "./streams.ts";

/** Where to start in a stream: everything up to and including this is left out. By partition where they differ. */
export interface Start {
  readonly seq: number;
  readonly partitions: ReadonlyMap<number, number>;
}

/** A position that the log has not reached is of another file: then it is the oldest, never now. */
export function startOf(streams: Streams, stream: StreamRow, from: StartAt): Start {
  const oldest = stream.first - 1;
  const at = (seq: number): Start => ({ seq, partitions: new Map() });
  if ("at" in from) return at(from.at === "oldest" ? oldest : stream.last);
  if ("time" in from) return at(streams.log(stream.id).before(from.time, stream.first, stream.last));
  return startAfter(stream, new Map(Object.entries(from.positions)));
}

/** As `StartAt.positions`, and as a resumed source has it. */
export function startAfter(stream: StreamRow, positions: ReadonlyMap<string, string>): Start {
  const oldest = stream.first - 1;
  const partitions = new Map<number, number>();
  for (let partition = 0; partition < stream.partitions; partition += 1) {
    const seq = Number(positions.get(partitionName(stream, partition)) ?? Number.NaN);
    partitions.set(partition, Number.isSafeInteger(seq) && seq >= oldest && seq <= stream.last ? seq : oldest);
  }
  return { seq: Math.min(...partitions.values()), partitions };
}
