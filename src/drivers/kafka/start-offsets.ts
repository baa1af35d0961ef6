import type { StartAt } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { newest, type OffsetsAsked, oldest } from "./cluster.ts";
import { refOf } from "./names.ts";
import type { Session } from "./session.ts";

/** The first offset that is read of each partition. A position that a partition has not reached is another log's: all of it is read. */
export async function startOffsets(
  session: Session,
  stream: string,
  partitions: number,
  from: StartAt,
  resume?: ReadonlyMap<string, string>,
): Promise<readonly number[]> {
  const topic = session.names.stream(stream);
  const places = Array.from({ length: partitions }, (_, partition) => partition);
  const given = (partition: number): string | undefined => {
    const ref = refOf(stream, partition);
    return resume?.get(ref) ?? ("positions" in from ? from.positions[ref] : undefined);
  };
  const at = "time" in from ? from.time : "at" in from && from.at === "newest" ? newest : oldest;
  const ask = (which: number): readonly OffsetsAsked[] => places.map((partition) => ({ topic, partition, at: which }));
  const positions = places.map(given);
  const [starts, ends] = [
    await session.cluster.offsets(ask(at)),
    positions.some((each) => each !== undefined) ? await session.cluster.offsets(ask(newest)) : [],
  ];
  return places.map((partition) => {
    const position = positions[partition];
    if (position === undefined) return starts[partition] ?? 0;
    const next = offsetAfter(position, refOf(stream, partition));
    return next > (ends[partition] ?? 0) ? 0 : next;
  });
}

/** Behind a position that was handled. */
export function offsetAfter(position: string, partition: string): number {
  if (!/^(?:-1|\d{1,15})$/.test(position))
    throw new DriverError("BUS_INVALID_OPTION", `kafka: position (${partition}): not an offset`);
  return Number(position) + 1;
}
