import type { GroupSpec, GroupState, Member, StartAt } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { delayedKeys } from "./delayed.ts";
import { type GroupDefinition, isOrdered } from "./group-plan.ts";
import { GroupStates } from "./group-state.ts";
import type { Letters } from "./letters.ts";
import { queueLane } from "./names.ts";
import { idleMark } from "./retention.ts";
import { processOf } from "./roster.ts";
import type { Shared } from "./shared.ts";
import { ownersOf } from "./sweeping.ts";

/** Groups as an operator sees and changes them; the changes themselves are the definition's. */
export class GroupAdmin {
  readonly #shared: Shared;
  readonly #letters: Letters;

  constructor(shared: Shared, letters: Letters) {
    this.#shared = shared;
    this.#letters = letters;
  }

  async list(): Promise<readonly GroupState[]> {
    const { definitions, streams } = this.#shared;
    const [states, found] = await Promise.all([GroupStates.read(this.#shared), definitions.list(), streams.list()]);
    const groups: GroupState[] = [];
    for (const definition of found) groups.push(await states.of(definition));
    return groups;
  }

  async members(group: string): Promise<readonly Member[]> {
    const definition = await this.#definition(group);
    const { members } = this.#shared;
    const seated = new Set(members.seats(group, definition.first).map(({ member }) => processOf(member)));
    const owned = isOrdered(definition) ? await this.#owned(definition) : undefined;
    return members
      .entries()
      .filter(({ entry }) => seated.has(entry.id))
      .map(({ entry: { id, name, host, pid, since }, lastSeen }) => ({
        id,
        name,
        host,
        pid,
        since: new Date(since),
        lastSeen: new Date(lastSeen),
        partitions: owned === undefined ? undefined : (owned.get(id) ?? []).toSorted((a, b) => a - b),
      }));
  }

  async update(group: string, reads: GroupSpec["reads"]): Promise<void> {
    await this.#definition(group);
    await this.#shared.definitions.update(group, reads);
  }

  async reset(group: string, to: StartAt): Promise<void> {
    await this.#definition(group);
    await this.#shared.definitions.reset(group, to);
  }

  /** With its queue and its letters, these first: what is left of the group by a crash is found by its definition. */
  async remove(group: string): Promise<boolean> {
    const { api, bucket, definitions, session } = this.#shared;
    const { names } = session;
    const found = await definitions.get(group);
    await this.#letters.removeGroup(group);
    const later = await api.purge(names.bucketStream, { filter: names.key(delayedKeys.ofGroup(group)) });
    const removed = await definitions.remove(group);
    await bucket.delete(idleMark(group));
    // what failed while it was removed
    if (found !== undefined) await this.#letters.removeGroup(group);
    return removed || later > 0;
  }

  /** Of all its streams, by member. */
  async #owned({ group, first }: GroupDefinition): Promise<ReadonlyMap<string, readonly number[]>> {
    const owned = new Map<string, number[]>();
    for (const { stream, partition, owner } of await ownersOf(this.#shared, group)) {
      if (owner.first !== first || owner.member === null || stream === queueLane) continue;
      const process = processOf(owner.member);
      const partitions = owned.get(process) ?? [];
      if (!partitions.includes(partition)) partitions.push(partition);
      owned.set(process, partitions);
    }
    return owned;
  }

  async #definition(group: string): Promise<GroupDefinition> {
    const found = await this.#shared.definitions.get(group);
    if (found === undefined) throw new DriverError("BUS_NOT_FOUND", `nats: there is no group "${group}"`);
    return found.definition;
  }
}
