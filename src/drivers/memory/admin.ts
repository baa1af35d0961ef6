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
import type { MemoryConnection } from "./connection.ts";
import { groupState } from "./group-state.ts";
import { checkStart, startPosition } from "./start-position.ts";
import type { Store } from "./store.ts";
import { streamInfo } from "./stream-info.ts";

/** A store as an operator sees it. Everything is as of now: ages are looked at first. */
export class MemoryAdmin implements DriverAdmin {
  readonly #store: Store;
  readonly #connection: MemoryConnection;

  constructor(store: Store, connection: MemoryConnection) {
    this.#store = store;
    this.#connection = connection;
  }

  async streams(): Promise<readonly StreamInfo[]> {
    this.#expire();
    return [...this.#store.streams.values()].map((stream) => streamInfo(stream, this.#store.groups.values()));
  }

  async positions(stream: string): Promise<Readonly<Record<string, string>>> {
    return Object.fromEntries(this.#stream(stream).partitions.map((log) => [log.partition, String(log.next - 1)]));
  }

  async trim(stream: string, before: StartAt): Promise<number> {
    checkStart(before);
    const log = this.#stream(stream);
    const messages = log.messages;
    for (const partition of log.partitions) {
      const end = startPosition(before, partition).position;
      log.trim(partition, end);
    }
    this.#store.time.wake(this.#store);
    return messages - log.messages;
  }

  async deleteStream(stream: string): Promise<boolean> {
    const deleted = this.#store.deleteStream(stream);
    if (deleted) this.#connection.tellOthers();
    return deleted;
  }

  async groups(): Promise<readonly GroupState[]> {
    this.#expire();
    const now = this.#store.time.now();
    return [...this.#store.groups.values()].map((group) => groupState(group, now));
  }

  async members(group: string): Promise<readonly Member[]> {
    const lastSeen = new Date(this.#store.time.now());
    const found = this.#store.groupNamed(group);
    return found.members.map((member) => ({ ...member.member, lastSeen, partitions: found.ownedBy(member) }));
  }

  async updateGroup(group: string, reads: GroupSpec["reads"]): Promise<void> {
    this.#store.updateGroup(group, reads);
  }

  async resetGroup(group: string, to: StartAt): Promise<void> {
    checkStart(to);
    const found = this.#store.groupNamed(group);
    if (found.members.length > 0) throw new DriverError("BUS_CONFLICT", `group (${group}): has active members`);
    found.reset(to);
  }

  async recoverGroup(group: string, idleMs: number): Promise<number> {
    return this.#store.groupNamed(group).recover(idleMs, this.#connection);
  }

  async deleteGroup(group: string): Promise<boolean> {
    return this.#store.deleteGroup(group);
  }

  async letters(
    group: string | undefined,
    after: string | undefined,
    limit: number,
  ): Promise<readonly StoredMessage[]> {
    return this.#store.letters.list(group, after, limit);
  }

  async letter(id: string): Promise<StoredMessage | undefined> {
    return this.#store.letters.get(id);
  }

  async countLetters(group: string | undefined): Promise<number> {
    return this.#store.letters.count(group);
  }

  async claimLetters(ids: readonly string[], token: string, leaseMs: number): Promise<readonly string[]> {
    return this.#store.letters.claim(ids, token, leaseMs, this.#store.time.ticks());
  }

  async removeLetters(ids: readonly string[], token: string): Promise<readonly string[]> {
    return this.#store.letters.remove(ids, token);
  }

  async scheduled(after: string | undefined, limit: number): Promise<readonly ScheduledMessage[]> {
    const { due, number } = numberedPlaceOf(after);
    return [...this.#store.logs()]
      .flatMap((log) => [...log.scheduled])
      .filter(({ call }) => call.due > due || (call.due === due && call.order > number))
      .toSorted(({ call: left }, { call: right }) => left.due - right.due || left.order - right.order)
      .slice(0, limit)
      .map(({ id, topic, call }) => ({
        id,
        topic,
        notBefore: call.due,
        position: duePlaceText({ due: call.due, rest: call.order }),
      }));
  }

  async cancelScheduled(ids: readonly string[]): Promise<readonly string[]> {
    const wanted = new Set(ids);
    const gone = new Set([...this.#store.logs()].flatMap((log) => log.cancel(wanted)));
    if (gone.size > 0) this.#store.time.wake(this.#store); // who waits for room may have it
    return [...gone];
  }

  #stream(name: string): ReturnType<Store["streams"]["get"]> & object {
    const stream = this.#store.streams.get(name);
    if (stream === undefined) throw new DriverError("BUS_NOT_FOUND", `stream (${name}): there is none`);
    stream.expire(this.#store.time.now());
    return stream;
  }

  #expire(): void {
    const now = this.#store.time.now();
    for (const stream of this.#store.streams.values()) stream.expire(now);
  }
}
