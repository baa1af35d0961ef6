import type { ForeignFields } from "./attach.ts";
import { listOf, numberOf, textOf, textsOf } from "./reply.ts";
import { countAfterScript, streamInfoScript } from "./scripts/stream-info.ts";
import type { Session } from "./session.ts";

/** One partition as the server knows it. */
export interface PartitionInfo {
  readonly ref: string;
  readonly length: number;
  /** Undefined: it is empty. */
  readonly first: string | undefined;
  /** The highest id that it ever had. */
  readonly last: string;
  /** How many entries it ever got. */
  readonly added: number;
}

export interface LaneInfo {
  readonly hash: ForeignFields & Readonly<Record<string, string>>;
  readonly partitions: readonly PartitionInfo[];
}

/** Rejects with the reply NOSTREAM when there is none. */
export async function laneInfo(session: Session, lane: string): Promise<LaneInfo> {
  const [flat = null, ...partitions] = listOf(await session.run(streamInfoScript, [lane]));
  const pairs = textsOf(flat);
  const hash: Record<string, string> = {};
  for (let at = 0; at < pairs.length; at += 2) hash[pairs[at]!] = pairs[at + 1]!;
  return {
    hash,
    partitions: partitions.map((reply, number) => {
      const [length, first, last, added] = listOf(reply);
      return {
        ref: `${lane}:${number}`,
        length: numberOf(length),
        first: textOf(first) === "" ? undefined : textOf(first),
        last: textOf(last),
        added: numberOf(added),
      };
    }),
  };
}

/** The key of a partition's stream: another program's, where it is attached. */
export function keyOf(session: Session, { hash }: LaneInfo, ref: string): string {
  return hash["key"] ?? session.keys.key(ref);
}

export async function countAfter(session: Session, ref: string, id: string, limit: number): Promise<number> {
  return numberOf(await session.run(countAfterScript, [ref, id, String(limit)]));
}
