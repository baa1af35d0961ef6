import type { Api } from "./api.ts";
import { matching } from "./count-matching.ts";
import type { GroupReader } from "./group-readers.ts";
import { nothingBetween } from "./nothing-between.ts";
import type { Session } from "./session.ts";

interface Parts {
  readonly session: Session;
  readonly api: Api;
}

/**
 * Up to where everything that this place is to read is settled, at most `last`: a sequence that the stream had before this was
 * asked. What a consumer counts may be behind what was stored, and far behind where it was made on a follower that lags: that nothing waits
 * is asked of the stream's leader.
 */
export async function floorOf(parts: Parts, reader: GroupReader, last: number): Promise<number> {
  const floor = await settledUpTo(parts, reader, last);
  return reader.end !== undefined && floor >= reader.end - 1 ? last : floor;
}

async function settledUpTo(parts: Parts, reader: GroupReader, last: number): Promise<number> {
  const { native, consumer, filters, start } = reader;
  const info = consumer === undefined ? undefined : await parts.api.consumerInfo(native, consumer);
  const reached = async (place: number): Promise<number> =>
    (await nothingBetween(parts.api, native, filters, place + 1, last)) ? last : place;
  if (info === undefined)
    return await reached("time" in start ? (await matching(parts, native, filters, start)).before : start.sequence - 1);
  const { delivered, ack_floor: acknowledged, num_ack_pending: unsettled, num_pending: waiting } = info;
  if (unsettled > 0) return acknowledged.stream_seq;
  if (waiting > 0) return delivered.stream_seq;
  return await reached(delivered.stream_seq);
}
