import type { StreamInfo } from "../../driver.ts";
import type { Group } from "./group.ts";
import type { StreamLog } from "./stream-log.ts";

/** A stream as it is now. */
export function streamInfo(stream: StreamLog, groups: Iterable<Group>): StreamInfo {
  const oldest = stream.partitions.flatMap((log) => (log.oldest === undefined ? [] : [log.oldest.at]));
  const newest = stream.partitions.flatMap((log) => (log.newest === undefined ? [] : [log.newest.at]));
  const readers = [...groups].filter((group) => group.spec.reads.some((read) => read.stream === stream.name));
  return {
    name: stream.name,
    topics: stream.options?.topics ?? [],
    partitions: stream.partitions.length,
    messages: stream.messages,
    bytes: stream.bytes,
    first: oldest.length > 0 ? new Date(Math.min(...oldest)) : undefined,
    last: newest.length > 0 ? new Date(Math.max(...newest)) : undefined,
    groups: readers.map((group) => group.spec.group),
  };
}
