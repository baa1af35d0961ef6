import type { GroupSpec } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { assign, moves } from "../../internal/partition-assignment.ts";
import type { BucketWatch } from "./bucket.ts";
import { type GroupDefinition, specOf } from "./group-plan.ts";
import { join, leaveGroup } from "./joining.ts";
import { type KnownFloors, knownFloors } from "./known-floors.ts";
import type { Chair } from "./members.ts";
import { keys, queueLane } from "./names.ts";
import { Notes } from "./notes.ts";
import { OwnedPartition } from "./owned-partition.ts";
import { type Owned, release, takeOver } from "./owner.ts";
import { partitionKey } from "./partition-key.ts";
import type { PartitionReader } from "./partition-reader.ts";
import { PartitionStore, patternsOf } from "./partition-store.ts";
import type { Shared } from "./shared.ts";
import { adopt, ownerEntry, type OwnerEntry } from "./sweeping.ts";

const deleted = (group: string): DriverError =>
  new DriverError("BUS_NOT_FOUND", `group (${group}): was deleted`, { retryable: true });

export interface SharesListener {
  spec(spec: GroupSpec): void;
  /** It is no longer ours, and nothing of it is to run. */
  revoked(partition: OwnedPartition): void;
  gained(partition: OwnedPartition): void;
  lost(reason: string): void;
  ended(error: unknown): void;
}

export const dropped = "dropped by retention before it was handled";
const againMs = 250;
const lookMs = 1_000;

/** Which partitions of an ordered group are this member's: everyone reckons the same from the same entries, and acts for itself. */
export class Shares {
  readonly #shared: Shared;
  readonly #group: string;
  readonly #reader: PartitionReader;
  readonly #listener: SharesListener;
  readonly #partitions = new Map<string, OwnedPartition>();
  readonly #owners = new Map<string, OwnerEntry>();
  /** Being taken or released: nothing else is done with them. */
  readonly #busy = new Map<string, Promise<void>>();
  readonly #said = new Map<string, number>();
  /** Streams whose end was said. */
  readonly #buried = new Set<string>();
  readonly #watches: Disposable[] = [];
  #watch: BucketWatch | undefined;
  #chair: Chair | undefined;
  #definition!: GroupDefinition;
  #revision = 0;
  #state: "open" | "stopped" | "closed" = "open";
  #due = false;
  #timer: Disposable | undefined;

  constructor(shared: Shared, group: string, reader: PartitionReader, listener: SharesListener) {
    this.#shared = shared;
    this.#group = group;
    this.#reader = reader;
    this.#listener = listener;
  }

  get member(): string {
    return this.#chair?.id ?? "";
  }

  /** Ours, those that drain included. */
  partitions(): readonly OwnedPartition[] {
    return [...this.#partitions.values()];
  }

  async start(resume: ReadonlyMap<string, string> | undefined): Promise<void> {
    const { bucket, members } = this.#shared;
    const { found, chair } = await join(this.#shared, this.#group, resume);
    this.#chair = chair;
    chair.floors(() => ({
      first: found.definition.first,
      floors: Object.fromEntries(
        this.partitions().flatMap(({ key, floor, name }) => (name === queueLane ? [] : [[key, floor]])),
      ),
    }));
    this.#definition = found.definition;
    this.#revision = found.revision;
    this.#watches.push(
      members.listen({
        changed: () => this.#soon(),
        renewed: () => this.#soon(),
        expired: () => {
          for (const partition of this.partitions()) this.lose(partition);
        },
        defined: (group, definition, revision) => {
          if (group === this.#group && revision > this.#revision) this.#apply(definition, revision);
        },
      }),
    );
    this.#watch = bucket.watch([keys.owners(this.#group)], {
      entry: (entry) => {
        const heard = ownerEntry(entry);
        if (heard !== undefined) this.#heard(heard);
        else this.#owners.delete(entry.key.slice(keys.owners(this.#group).length - 1).replace(".", "/"));
      },
      ended: (error) => this.#listener.ended(error),
    });
    await this.#watch.ready;
    await this.#watch.current;
    const now = await this.#shared.definitions.get(this.#group);
    // in another bucket by now, a revision means nothing, and this watch hears of no deletion
    if (now?.definition.first !== found.definition.first) throw deleted(this.#group);
    if (now.revision > this.#revision) this.#apply(now.definition, now.revision);
    this.#soon();
    this.#lookLater();
  }

  /** How far the group is in each partition, as far as it is known here. */
  floors(): KnownFloors {
    return knownFloors(this.#shared, this.#definition, this.#owners);
  }

  /** Its consumer made anew: by grown patterns, or because something it sent came to nobody. */
  renew(partition: OwnedPartition): void {
    if (partition.state !== "reading") return;
    partition.state = "renewing";
    this.#reader.stop(partition);
    void this.#renew(partition);
  }

  /** Another's by now, or nobody's. */
  lose(partition: OwnedPartition): void {
    const left = this.#reader.left(partition);
    if (!this.#drop(partition)) return;
    this.#listener.revoked(partition);
    const { created } = partition.owned.owner;
    if (left && this.#createdOf(partition.store.stream) !== created) this.#bury(partition.store.stream, created);
    this.#soon();
  }

  /** Hands it over if nothing of it can be running. */
  drained(partition: OwnedPartition): void {
    if (partition.state !== "draining" || !partition.drained(this.#shared.session.clock.now())) return;
    const handed = partition.handed(false);
    const { floor, done, owned, store } = partition;
    this.#drop(partition);
    this.#listener.revoked(partition); // before another can have it
    this.#keep(partition.key, this.#release(store, owned, floor, done, handed));
  }

  stop(): void {
    this.#state = "stopped";
    this.#chair?.update({ state: "stopped" }).catch(() => undefined); // renewed soon
    for (const partition of this.partitions()) this.#drain(partition);
  }

  /** Gives up everything at once; `cutOff`: handlers may still run. */
  async leave(cutOff: boolean): Promise<void> {
    for (const partition of this.partitions()) {
      const handed = partition.handed(cutOff);
      const { floor, done, owned, store, key } = partition;
      this.#drop(partition);
      this.#keep(key, this.#release(store, owned, floor, done, handed));
    }
    while (this.#busy.size > 0) await Promise.all(this.#busy.values());
  }

  async close(): Promise<void> {
    this.#state = "closed";
    this.#watch?.close();
    this.#timer?.[Symbol.dispose]();
    for (const watch of this.#watches.splice(0)) watch[Symbol.dispose]();
    for (const partition of this.partitions()) this.#drop(partition);
    this.#reader.close();
    if (this.#chair !== undefined) await leaveGroup(this.#shared, this.#definition, this.#chair).catch(() => undefined); // it runs out
  }

  #heard(entry: OwnerEntry): void {
    const key = partitionKey(entry.stream, entry.partition);
    if ((this.#owners.get(key)?.revision ?? 0) >= entry.revision) return;
    this.#owners.set(key, entry);
    const { first, epoch, member } = entry.owner;
    const partition = this.#partitions.get(key);
    if (partition !== undefined && first === this.#definition.first && epoch > partition.owned.owner.epoch)
      if (member !== this.member) this.lose(partition);
    this.#soon();
  }

  #apply(definition: GroupDefinition | undefined, revision: number): void {
    if (this.#state === "closed") return;
    const before = this.#definition;
    if (definition?.first !== before.first) return this.#listener.ended(deleted(this.#group));
    this.#definition = definition;
    this.#revision = revision;
    for (const partition of this.partitions()) this.#freshen(partition);
    if (JSON.stringify(definition.reads) !== JSON.stringify(before.reads)) this.#listener.spec(specOf(definition));
    this.#soon();
  }

  #freshen(partition: OwnedPartition): void {
    const { stream } = partition.store;
    const wanted = patternsOf(this.#definition, stream);
    if (partition.state === "draining" && wanted !== "")
      return void adopt(this.#shared, partition, () => patternsOf(this.#definition, stream));
    if (partition.owned.owner.patterns === wanted) return;
    if (wanted === "") this.lose(partition); // the group reads it no more
    else this.renew(partition);
  }

  #soon(): void {
    if (this.#due || this.#state !== "open") return;
    this.#due = true;
    queueMicrotask(() => {
      this.#due = false;
      this.#balance();
    });
  }

  #balance(): void {
    if (this.#state !== "open" || !this.#shared.members.trusted) return;
    const { members, streams } = this.#shared;
    const { first, reads } = this.#definition;
    const open = members.open(this.#group, first);
    if (!open.includes(this.member)) return; // our own seat will be heard of
    const known = reads.flatMap(({ stream }) => streams.get(stream) ?? []);
    const lanes = new Map([...known.map(({ name, partitions }) => [name, partitions] as const), [queueLane, 1]]);
    const owners = new Map<string, string>();
    for (const [key, { owner, stream }] of this.#owners) {
      if (owner.member === null || owner.first !== first || owner.created !== this.#createdOf(stream)) continue;
      if (owner.member !== this.member || this.#partitions.has(key) || this.#busy.has(key))
        owners.set(key, owner.member);
    }
    const assigned = assign(lanes, open, owners, partitionKey);
    const alive = new Set(members.seats(this.#group, first).map(({ member }) => member));
    const { take, give } = moves(assigned, owners, this.member, (owner) => owner === undefined || !alive.has(owner));
    for (const key of give) {
      const partition = this.#partitions.get(key);
      if (partition !== undefined) this.#drain(partition);
    }
    for (const partition of this.partitions()) if (!assigned.has(partition.key)) this.lose(partition);
    for (const key of take) if (!this.#busy.has(key)) this.#keep(key, this.#take(key));
    for (const [key, { owner }] of this.#owners) {
      const next = assigned.get(key);
      if (owner.member !== this.member || owner.first !== first || next === undefined || next === this.member) continue;
      // its release was not answered, and another is to have it
      if (!this.#partitions.has(key) && !this.#busy.has(key)) this.#keep(key, this.#disown(key));
    }
  }

  #createdOf(stream: string): string | undefined {
    return stream === queueLane ? queueLane : this.#shared.streams.get(stream)?.created;
  }

  #keep(key: string, work: Promise<void>): void {
    const before = this.#busy.get(key);
    const all = before === undefined ? work : Promise.all([before, work]).then(() => undefined);
    const ended = all
      .catch(() => this.#pause())
      .finally(() => {
        if (this.#busy.get(key) === ended) this.#busy.delete(key);
        this.#soon();
      });
    this.#busy.set(key, ended);
  }

  #store(stream: string, partition: number): PartitionStore {
    return new PartitionStore(this.#shared, this.#group, stream, partition, () => this.#state !== "open");
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => void this.#shared.session.clock.after(againMs, resolve));
  }

  async #take(key: string): Promise<void> {
    const slash = key.lastIndexOf("/");
    const [stream, number] = [key.slice(0, slash), Number(key.slice(slash + 1))];
    const { members } = this.#shared;
    const { first } = this.#definition;
    const before = this.#owners.get(key);
    const store = this.#store(stream, number);
    const owned = await members.takeovers.pass(() =>
      takeOver(store, this.member, ({ member }) => {
        if (member === null || member === this.member) return true;
        return !members.seats(this.#group, first).some((seat) => seat.member === member);
      }),
    );
    if (owned === undefined) return await this.#pause(); // another was quicker, or its stream is not there
    const notes = new Notes(this.#shared, this.#group);
    const again = before?.owner.first === first && before.owner.created !== owned.owner.created;
    if (again) {
      await notes.dropAll(stream); // of another stream's messages
      // whoever lives and read it has said what it knows
      const said = members.seats(this.#group, first).some(({ member }) => member === before.owner.member);
      if (!said) this.#bury(stream, before.owner.created);
    } else if (before?.owner.first === first && store.oldest > owned.floor + 1) this.#dropped(stream, store.oldest);
    const found = again ? new Set<number>() : await notes.sequences(stream);
    const { floor, owner } = owned;
    if (this.#state !== "open" || owner.first !== this.#definition.first || !members.trusted)
      return await this.#release(store, owned, floor, owner.done, Math.max(floor, owner.handed));
    const name = stream === queueLane ? queueLane : key;
    const partition = new OwnedPartition(key, name, store, owned, found);
    this.#partitions.set(key, partition);
    this.#reader.read(partition);
    this.#listener.gained(partition);
    this.#freshen(partition);
  }

  /** Of all partitions it is said once. */
  #bury(stream: string, created: string): void {
    const which = `${stream}@${created}`;
    if (this.#buried.has(which)) return;
    this.#buried.add(which);
    this.#listener.lost("the stream was deleted");
  }

  /** Since its last owner: of all partitions it is said once. */
  #dropped(stream: string, oldest: number): void {
    if ((this.#said.get(stream) ?? 0) >= oldest) return;
    this.#said.set(stream, oldest);
    this.#listener.lost(dropped);
  }

  async #renew(partition: OwnedPartition): Promise<void> {
    while (partition.state === "renewing") {
      try {
        const owned = await this.#shared.members.takeovers.pass(() =>
          takeOver(partition.store, this.member, () => false, partition.mine),
        );
        if (partition.state !== "renewing") return;
        if (owned === undefined) return this.lose(partition);
        partition.renewed(owned);
        this.#reader.read(partition);
        if (this.#state === "stopped") this.#drain(partition);
        else this.#freshen(partition);
        return;
      } catch {
        await this.#shared.members.next(againMs); // its lease may run out meanwhile
      }
    }
  }

  async #release(
    store: PartitionStore,
    owned: Owned,
    ...what: [floor: number, done: OwnedPartition["done"], handed: number]
  ): Promise<void> {
    while (this.#shared.members.trusted && this.#shared.session.connected) {
      try {
        await release(store, owned, ...what);
        return;
      } catch {
        await this.#shared.members.next(againMs);
      }
    }
  }

  /** An entry that still names us, of a partition that we don't hold. */
  async #disown(key: string): Promise<void> {
    const { stream, partition } = this.#owners.get(key)!;
    const store = this.#store(stream, partition);
    await takeOver(store, null, ({ member }) => member === this.member && !this.#partitions.has(key));
  }

  #drain(partition: OwnedPartition): void {
    if (partition.state !== "reading") return; // one that is being made anew drains afterwards
    partition.state = "draining";
    this.#reader.stop(partition);
    this.#reader.free(partition.takeBack());
    this.drained(partition);
    if (this.#partitions.has(partition.key)) this.#freshen(partition); // the definition may be newer than its consumer
  }

  /** Nothing of it is ours any more. */
  #drop(partition: OwnedPartition): boolean {
    if (partition.state === "over") return false;
    partition.state = "over";
    this.#reader.stop(partition);
    if (this.#partitions.get(partition.key) === partition) this.#partitions.delete(partition.key);
    const left = partition.messages();
    for (const message of left) message.over = true;
    this.#reader.free(left);
    return true;
  }

  /** A stream that was not there may be by now. */
  #lookLater(): void {
    this.#timer = this.#shared.session.clock.after(lookMs, () => {
      if (this.#state !== "open") return;
      const missing = this.#definition.reads.filter(({ stream }) => this.#shared.streams.get(stream) === undefined);
      void Promise.allSettled(missing.map(({ stream }) => this.#shared.streams.look(stream))).then(() => {
        this.#soon();
        if (this.#state === "open") this.#lookLater();
        return undefined;
      });
    });
  }
}
