import { describe, expect, it } from "vitest";
import type { GroupDefinition } from "./group-plan.ts";
import { NatsMessage, parseReply } from "./message.ts";
import { OwnedPartition } from "./owned-partition.ts";
import type { Owned } from "./owner.ts";
import type { PartitionStore } from "./partition-store.ts";

const owned = (handed: number): Owned => ({
  owner: {
    first: 1,
    created: "c",
    epoch: 1,
    member: "m",
    patterns: ">",
    floor: 10,
    done: [[13, 13]],
    handed,
    reader: 1,
    old: [],
  },
  revision: 1,
  definition: {} as GroupDefinition,
  floor: 10,
});

/** 11, 12, 14 and 15 in hand, 13 settled before; the core got the first two. */
function half(handed = 0): OwnedPartition {
  const partition = new OwnedPartition("events/0", "events/0", {} as PartitionStore, owned(handed), new Set());
  for (const [index, sequence] of [11, 12, 13, 14, 15].entries()) {
    const reply = `$JS.ACK.s.g=1.1.${sequence}.${index + 1}.1000000.0`;
    const raw = { subject: "a", data: new Uint8Array(0), reply } as unknown as NatsMessage["raw"];
    const place = { lane: "stream", partition: "events/0", topic: (subject: string) => subject } as const;
    const message = new NatsMessage(raw, parseReply(reply)!, place);
    message.given = sequence < 13;
    partition.take(message);
  }
  return partition;
}

it("is seen without a gap up to the first jump of what is in hand", () => {
  expect(half().seenTo).toBe(12);
});

describe("a partition that drains", () => {
  it("leaves what the core did not get to its next owner", () => {
    const partition = half();
    const back = partition.takeBack();
    expect(back.map(({ sequence }) => sequence)).toEqual([14, 15]);
    expect(back.every(({ over }) => over)).toBe(true);
    expect([partition.floor, partition.next, partition.done]).toEqual([10, 13, [[13, 13]]]);
    for (const message of partition.messages()) partition.settle(message);
    expect(partition.drained(0)).toBe(true);
    expect([partition.floor, partition.done, partition.handed(false)]).toEqual([13, [], 13]);
    expect(partition.takeBack()).toEqual([]);
  });

  it("keeps in mind what may have killed its last owner and did not run here", () => {
    const partition = half(15);
    partition.takeBack();
    for (const message of partition.messages()) partition.settle(message);
    expect(partition.handed(false)).toBe(15);
  });
});
