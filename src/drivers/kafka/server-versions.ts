import type { ApiVersions } from "./client.ts";
import { DriverError } from "../../internal/driver-error.ts";

/** What is asked of a broker, by number, and in which version. */
const needed: readonly (readonly [key: number, version: number, name: string])[] = [
  [0, 11, "Produce"],
  [1, 17, "Fetch"],
  [2, 9, "ListOffsets"],
  [3, 12, "Metadata"],
  [8, 9, "OffsetCommit"],
  [9, 9, "OffsetFetch"],
  [10, 6, "FindCoordinator"],
  [11, 9, "JoinGroup"],
  [12, 4, "Heartbeat"],
  [13, 5, "LeaveGroup"],
  [14, 5, "SyncGroup"],
  [19, 7, "CreateTopics"],
  [20, 6, "DeleteTopics"],
  [21, 2, "DeleteRecords"],
  [22, 5, "InitProducerId"],
];

/** Throws when the broker can't be asked what a bus asks. */
export function checkVersions({ apiKeys }: ApiVersions): void {
  const offered = new Map(apiKeys.map((each) => [each.apiKey, each]));
  for (const [key, version, name] of needed) {
    const range = offered.get(key);
    if (range !== undefined && range.minVersion <= version && version <= range.maxVersion) continue;
    const has = range === undefined ? "none of it" : `${range.minVersion} to ${range.maxVersion}`;
    throw new DriverError(
      "BUS_UNSUPPORTED",
      `kafka: the broker has ${has} of ${name}, and version ${version} is needed: Kafka 4.0 or newer`,
    );
  }
}
