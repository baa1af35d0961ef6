import { balance } from "../../internal/partition-balance.ts";
import type { Group } from "./group.ts";
import type { GroupLane } from "./group-lane.ts";
import type { GroupMember } from "./group-member.ts";
import type { MemoryMessage } from "./memory-message.ts";

/**
 * Which member of an ordered group owns which partition, over all its streams (and its queue) that have as many of them: a
 * key that is in several is with one member, and each stream is shared out evenly. A partition changes hands when the old
 * owner has nothing of it in hand any more, or only what waits for its next attempt.
 */
export class Ownership {
  readonly partitions: number;
  readonly #group: Group;
  readonly #owners: (GroupMember | undefined)[];
  /** Partitions that are drained, and whom they go to. */
  readonly #moving = new Map<number, GroupMember>();

  constructor(group: Group, partitions: number) {
    this.#group = group;
    this.partitions = partitions;
    this.#owners = Array.from({ length: partitions }, () => undefined);
    this.rebalance();
  }

  ownedBy(member: GroupMember): readonly number[] {
    return this.#owners.flatMap((owner, number) => (owner === member ? [number] : []));
  }

  /** A stream came: its lanes go where the others of their number are. */
  admit(lanes: readonly GroupLane[]): void {
    for (const [number, owner] of this.#owners.entries())
      if (!this.#moving.has(number)) lanes[number]!.join(owner?.merge);
  }

  rebalance(): void {
    const active = new Map(
      this.#group.members.filter((member) => member.state === "open").map((member) => [member.id, member]),
    );
    const numbers = [...this.#owners.keys()];
    const current = new Map(
      numbers.flatMap((number) => (this.#owners[number] === undefined ? [] : [[number, this.#owners[number].id]])),
    );
    const next = balance(numbers, [...active.keys()], current);
    for (const number of numbers) this.#move(number, active.get(next.get(number) ?? ""));
    this.advance();
  }

  left(member: GroupMember): void {
    for (const number of this.ownedBy(member)) this.#assign(number, undefined);
    this.rebalance();
  }

  /** Hands over what is drained by now. */
  advance(): void {
    if (this.#moving.size === 0) return;
    const now = this.#group.time.now();
    for (const [number, next] of this.#moving) {
      const owner = this.#owners[number];
      if (owner !== undefined && !this.#giveUp(number, owner, now)) continue;
      this.#assign(number, next);
    }
  }

  /** To nobody: it stays where it is. */
  #move(number: number, next: GroupMember | undefined): void {
    const owner = this.#owners[number];
    if (owner === next || next === undefined) {
      if (this.#moving.delete(number)) this.#assign(number, owner);
      return;
    }
    this.#moving.set(number, next);
    for (const lane of this.#lanes(number)) lane.join(undefined);
  }

  #assign(number: number, owner: GroupMember | undefined): void {
    this.#moving.delete(number);
    this.#owners[number] = owner;
    for (const lane of this.#lanes(number)) lane.join(owner?.merge);
    if (owner !== undefined) this.#group.wake();
  }

  #lanes(number: number): readonly GroupLane[] {
    return this.#group.lanesOf(this.partitions, number);
  }

  #giveUp(number: number, owner: GroupMember, now: number): boolean {
    const lanes = this.#lanes(number);
    for (const lane of lanes) if (lane.inFlight > 0 && !resting(lane.unsettled(), owner, now)) return false;
    for (const lane of lanes) {
      for (const message of lane.unsettled()) {
        if (message.holder !== owner) continue;
        message.counted = message.deliveries - 1;
        lane.giveBack(message);
        owner.free(message);
      }
      owner.forget(lane);
      owner.sink.revoked({ partition: lane.log.partition });
    }
    return true;
  }
}

/** No handler runs: each waits for its next attempt, or for one of its key that does. */
function resting(messages: Iterable<MemoryMessage>, owner: GroupMember, now: number): boolean {
  const waiting = new Set<string>();
  for (const message of messages) {
    if (message.holder !== owner) continue;
    if (message.notBefore !== undefined && message.notBefore > now) {
      if (message.key !== undefined) waiting.add(message.key);
    } else if (message.key === undefined || !waiting.has(message.key)) return false;
  }
  return true;
}
