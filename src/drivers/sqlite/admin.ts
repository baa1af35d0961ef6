import type {
  DriverAdmin,
  GroupSpec,
  GroupState,
  Member,
  ScheduledMessage,
  StartAt,
  StoredMessage,
  StreamInfo,
} from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { duePlaceText, numberedPlaceOf } from "../../internal/due-place.ts";
import { GroupCounts } from "./group-counts.ts";
import type { GroupRow } from "./group-store.ts";
import { startOf } from "./start.ts";
import type { Store } from "./store.ts";
import { partitionName, type StreamRow } from "./streams.ts";

/** Everything that an operator may ask; each change is one transaction, so a crash leaves it done or not begun. */
export class SqliteAdmin implements DriverAdmin {
  readonly #current: () => Store;

  constructor(current: () => Store) {
    this.#current = current;
  }

  /** Another one after the file was replaced. */
  get #store(): Store {
    return this.#current();
  }

  streams(): Promise<readonly StreamInfo[]> {
    return this.#read(() => this.#store.streams.info());
  }

  positions(name: string): Promise<Readonly<Record<string, string>>> {
    return this.#read(() => {
      const stream = this.#stream(name);
      return Object.fromEntries(
        Array.from({ length: stream.partitions }, (_, partition) => [
          partitionName(stream, partition),
          String(stream.last),
        ]),
      );
    });
  }

  async trim(name: string, before: StartAt): Promise<number> {
    const upTo = await this.#read(() => {
      const stream = this.#stream(name);
      return startOf(this.#store.streams, stream, before).seq;
    });
    let removed = 0;
    for (;;) {
      // In batches, so that nobody waits long.
      const count = await this.#change(() => {
        const stream = this.#stream(name);
        return this.#store.retention.trim(stream, Math.min(upTo, stream.first + 999), this.#store.clock.now());
      });
      removed += count;
      if (count < 1_000) return removed;
    }
  }

  deleteStream(name: string): Promise<boolean> {
    return this.#change(() => {
      const stream = this.#store.streams.named(name);
      if (stream === undefined) return false;
      this.#store.streams.remove(stream);
      return true;
    }).then((done) => {
      if (done) this.#store.routed();
      return done;
    });
  }

  async groups(): Promise<readonly GroupState[]> {
    const states: GroupState[] = [];
    const counts = await this.#read(() => new GroupCounts(this.#store));
    for (const row of await this.#read(() => this.#store.groups.all())) states.push(await counts.of(row));
    return states;
  }

  members(name: string): Promise<readonly Member[]> {
    return this.#read(() => {
      const group = this.#group(name);
      return this.#store.members.list(group.id, group.keeps === "group");
    });
  }

  async updateGroup(name: string, reads: GroupSpec["reads"]): Promise<void> {
    const row = await this.#change(() => this.#store.groups.update(name, reads));
    await this.#store.allKnow(row.id, row.version);
  }

  resetGroup(name: string, to: StartAt): Promise<void> {
    return this.#change(() => this.#store.groups.reset(name, to));
  }

  recoverGroup(name: string, idleMs: number): Promise<number> {
    return this.#change(() => {
      const group = this.#group(name);
      const before = this.#inHands(group);
      for (const process of this.#store.members.idle(group.id, this.#store.seating.process, idleMs))
        this.#store.members.bury(process);
      return before - this.#inHands(group);
    });
  }

  deleteGroup(name: string): Promise<boolean> {
    return this.#change(() => this.#store.groups.remove(name)).then((done) => {
      for (const member of this.#store.groupMembers) member.look();
      return done;
    });
  }

  letters(group: string | undefined, after: string | undefined, limit: number): Promise<readonly StoredMessage[]> {
    return this.#read(() => this.#store.letters.list(group, after, limit));
  }

  letter(id: string): Promise<StoredMessage | undefined> {
    return this.#read(() => this.#store.letters.get(id));
  }

  countLetters(group: string | undefined): Promise<number> {
    return this.#read(() => this.#store.letters.count(group));
  }

  claimLetters(ids: readonly string[], token: string, leaseMs: number): Promise<readonly string[]> {
    return this.#change(() => this.#store.letters.claim(ids, token, this.#store.clock.now(), leaseMs));
  }

  removeLetters(ids: readonly string[], token: string): Promise<readonly string[]> {
    return this.#change(() => this.#store.letters.remove(ids, token, this.#store.clock.now()));
  }

  scheduled(after: string | undefined, limit: number): Promise<readonly ScheduledMessage[]> {
    return this.#read(() => {
      const { due, number } = numberedPlaceOf(after);
      return this.#store.append.delayed.page(due, number, limit).map((row) => ({
        id: row.event,
        topic: row.topic,
        notBefore: row.due,
        position: duePlaceText({ due: row.due, rest: row.id }),
      }));
    });
  }

  cancelScheduled(ids: readonly string[]): Promise<readonly string[]> {
    return this.#change(() => ids.filter((id) => this.#store.append.delayed.cancel(id)));
  }

  #read<Result>(body: () => Result): Promise<Result> {
    return this.#store.read(body);
  }

  #change<Result>(body: () => Result): Promise<Result> {
    return this.#store.turn.do(body);
  }

  #stream(name: string): StreamRow {
    const stream = this.#store.streams.named(name);
    if (stream === undefined) throw new DriverError("BUS_NOT_FOUND", `sqlite: there is no stream "${name}"`);
    return stream;
  }

  #group(name: string): GroupRow {
    const group = this.#store.groups.named(name);
    if (group === undefined) throw new DriverError("BUS_NOT_FOUND", `sqlite: there is no group "${name}"`);
    return group;
  }

  #inHands(group: GroupRow): number {
    return this.#store.members.inHands(group.id);
  }
}
