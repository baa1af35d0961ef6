import { newest, oldest } from "./cluster.ts";
import { readHeaders } from "./headers.ts";
import { parseLedger } from "./ledger-text.ts";
import { delaysGroup } from "./names.ts";
import type { RecordReader } from "./record-reader.ts";
import type { Shared } from "./shared.ts";
import { tierMs } from "./tiers.ts";

/** More are not counted. */
const mostRead = 50_000;

export interface Delayed {
  /** Kafka's topic, into which it goes. */
  readonly target: string;
  readonly topic: string;
}

/** What waits for its time in all tiers, as of the last commit of whoever moves it. */
export async function waitingDelays({ session, groups }: Shared, reader: RecordReader): Promise<readonly Delayed[]> {
  const { control, cluster, names } = session;
  if (!control.fold.delays) return [];
  const topic = names.delays;
  const places = tierMs.map((_, partition) => ({ topic, partition }));
  const [committed, firsts, ends] = await Promise.all([
    groups.committed(names.group(delaysGroup)),
    cluster.offsets(places.map((place) => ({ ...place, at: oldest }))),
    cluster.offsets(places.map((place) => ({ ...place, at: newest }))),
  ]);
  const id = cluster.topology.place(topic)?.id.slice(0, 8) ?? "";
  const waiting: Delayed[] = [];
  for (const { partition } of places) {
    const found = committed.get(topic)?.get(partition);
    const ledger = found === undefined ? undefined : parseLedger(found.offset, found.text, id);
    const isDone = (offset: number): boolean =>
      ledger?.ranges.some(([from, to]) => from <= offset && offset < to) === true;
    let next = Math.max(firsts[partition] ?? 0, found?.offset ?? 0);
    while (next < (ends[partition] ?? 0) && waiting.length < mostRead) {
      const records = await reader.read(topic, partition, next);
      if (records.length === 0) break;
      for (const record of records) {
        const { more, topic: of = "" } = readHeaders(record);
        if (more.target !== undefined && !isDone(record.offset)) waiting.push({ target: more.target[0], topic: of });
      }
      next = records.at(-1)!.offset + 1;
    }
  }
  return waiting;
}
