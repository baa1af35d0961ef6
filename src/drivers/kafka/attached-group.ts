import type { GroupSpec } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { type GroupEntry, startIn, type TopicStart } from "./control-fold.ts";
import type { DescribedGroup } from "./client.ts";
import type { Committed, Groups } from "./coordinator.ts";
import { isLedger } from "./ledger-text.ts";
import { protocol } from "./membership.ts";
import { type Names, refOf } from "./names.ts";

/** By which name a group is to be known at Kafka; undefined: as ours are. What it is called is said when it is made. */
export function checkId(
  { group, live }: GroupSpec,
  wanted: string | undefined,
  groups: ReadonlyMap<string, GroupEntry>,
  names: Names,
): void {
  if (wanted === undefined) return;
  const conflict = (text: string): DriverError => new DriverError("BUS_CONFLICT", `group (${group}): ${text}`);
  const stored = groups.get(group);
  if (stored !== undefined && stored.id !== wanted)
    throw conflict(`it is "${names.group(group)}" at Kafka, and can't become "${wanted}"`);
  if (live) throw conflict(`it is live, so it can't go on where "${wanted}" stands`);
  if (names.isOfAnother(group, wanted)) throw conflict(`"${wanted}" is a name that the bus gives itself`);
  const other = [...groups.values()].find(({ id, spec }) => id === wanted && spec.group !== group);
  if (other !== undefined) throw conflict(`the group ${other.spec.group} is called "${wanted}" at Kafka already`);
}

/** Who shares partitions in another way can't be in a group with us. */
export async function refuseOthers(group: string, id: string, groups: Groups): Promise<void> {
  const found = await groups.describe(id);
  const isTheirs = found !== undefined && found.members.length > 0 && !isOurs(found);
  if (isTheirs || (await groups.hasNewMembers(id))) throw inconsistent(group, id);
}

/** Their members are not ours to put out. */
export const isOurs = ({ protocolType, protocolData }: DescribedGroup): boolean =>
  protocolType === "consumer" && (protocolData === protocol || protocolData === "");

export const inconsistent = (group: string, id: string, cause?: unknown): DriverError =>
  new DriverError(
    "BUS_CONFLICT",
    `group (${group}): "${id}" at Kafka has members of another client, with another protocol: it can be taken over when they are gone`,
    { cause },
  );

type Places = ReadonlyMap<number, Committed> | undefined;

/** Behind what was handled, whoever did. */
export const resumeOf = (stream: string, places: Places): ReadonlyMap<string, string> =>
  new Map([...(places ?? [])].map(([partition, { offset }]) => [refOf(stream, partition), String(offset - 1)]));

/** What another client had committed when a start was written. */
export function stoodIn(places: Places, partitions: number): Pick<TopicStart, "stood"> {
  const stood = Array.from({ length: partitions }, (_, partition) => {
    const found = places?.get(partition);
    return found === undefined || isLedger(found.text) ? null : found.offset;
  });
  return stood.some((each) => each !== null) ? { stood } : {};
}

/** Where a partition goes on of which no owner of ours has said: where another client, or Kafka's own tools, put it since. */
export function begunIn(
  { id }: GroupEntry,
  start: TopicStart | undefined,
  topicId: string,
  partition: number,
  found: Committed | undefined,
): number {
  if (id !== undefined && found !== undefined && !isLedger(found.text))
    if (start?.stood?.[partition] !== found.offset) return found.offset;
  return startIn(start, topicId, partition);
}
