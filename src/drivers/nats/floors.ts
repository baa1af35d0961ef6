import type { Api } from "./api.ts";
import { matching } from "./count-matching.ts";
import type { GroupReader } from "./group-readers.ts";
import type { Session } from "./session.ts";

interface Parts {
  readonly session: Session;
  readonly api: Api;
}

/**
 * Up to where everything that this place is to read is settled, at most `last`: a sequence that the stream had before this was
 * asked. A consumer's own count may be a moment behind what was stored, so that nothing waits is asked of the stream itself.
 */
export async function floorOf(parts: Parts, reader: GroupReader, last: number): Promise<number> {
  const floor = await settledUpTo(parts, reader, last);
  return reader.end !== undefined && floor >= reader.end - 1 ? last : floor;
}

async function settledUpTo(parts: Parts, reader: GroupReader, last: number): Promise<number> {
  const { native, consumer, filters, start } = reader;
  const info = consumer === undefined ? undefined : await parts.api.consumerInfo(native, consumer);
  if (info === undefined) {
    const { count, before } = await matching(parts, native, filters, start);
    return count === 0 ? last : "time" in start ? before : start.sequence - 1;
  }
  const { delivered, ack_floor: acknowledged, num_ack_pending: unsettled, num_pending: waiting } = info;
  if (unsettled > 0) return acknowledged.stream_seq;
  if (waiting > 0) return delivered.stream_seq;
  const { count } = await matching(parts, native, filters, { sequence: delivered.stream_seq + 1 });
  return count === 0 ? last : delivered.stream_seq;
}
