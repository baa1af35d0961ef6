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
import { matching } from "./count-matching.ts";
import { delayedKeys } from "./delayed.ts";
import { GroupAdmin } from "./group-admin.ts";
import { afterPosition } from "./group-start.ts";
import { Letters } from "./letters.ts";
import type { NativeStream } from "./api-types.ts";
import type { Shared } from "./shared.ts";
import { infoOf, type StreamFacts } from "./stream-plan.ts";

/** Everything that an operator may ask. */
export class NatsAdmin implements DriverAdmin {
  readonly #shared: Shared;
  readonly #groups: GroupAdmin;
  readonly #letters: Letters;
  readonly #forget: (stream: string) => void;

  /** `forget`: a stream that is deleted on purpose is not made again. */
  constructor(shared: Shared, forget: (stream: string) => void) {
    this.#shared = shared;
    this.#forget = forget;
    this.#letters = new Letters(shared);
    this.#groups = new GroupAdmin(shared, this.#letters);
  }

  async streams(): Promise<readonly StreamInfo[]> {
    const { streams, definitions } = this.#shared;
    const [all, groups] = await Promise.all([streams.list(), definitions.list()]);
    return all.map(({ facts, native }) => {
      const readers = groups.filter(({ reads }) => reads.some(({ stream }) => stream === facts.name));
      return infoOf(facts, native, readers.map(({ group }) => group).toSorted());
    });
  }

  /** One sequence runs through all partitions. */
  async positions(stream: string): Promise<Readonly<Record<string, string>>> {
    const { native } = await this.#stream(stream);
    return { [stream]: String(native.state.last_seq) };
  }

  async trim(stream: string, before: StartAt): Promise<number> {
    const { facts, native } = await this.#stream(stream);
    this.#refuseAttached(stream, "trim");
    return await this.#shared.retention.trim(stream, await this.#upTo(facts, native, before));
  }

  /** With what is noted of its messages: a stream of its name that is made later counts from 1 again. */
  async deleteStream(stream: string): Promise<boolean> {
    const { api, bucket, session, streams } = this.#shared;
    const found = await streams.look(stream);
    if (found === undefined) return false;
    this.#refuseAttached(stream, "delete");
    const { names } = session;
    this.#forget(stream);
    const deleted = await api.deleteStream(found.facts.native);
    await api.purge(names.bucketStream, { filter: names.key(delayedKeys.ofStream(stream)) });
    await api.purge(names.notes, { filter: names.noteFilter("*", stream) });
    for (const { key, revision } of await bucket.list("o.>", true))
      if (key.split(".")[2] === stream) await bucket.delete(key, revision);
    await streams.list();
    if (deleted) await streams.routed(stream);
    return deleted;
  }

  groups(): Promise<readonly GroupState[]> {
    return this.#groups.list();
  }

  members(group: string): Promise<readonly Member[]> {
    return this.#groups.members(group);
  }

  updateGroup(group: string, reads: GroupSpec["reads"]): Promise<void> {
    return this.#groups.update(group, reads);
  }

  resetGroup(group: string, to: StartAt): Promise<void> {
    return this.#groups.reset(group, to);
  }

  deleteGroup(group: string): Promise<boolean> {
    return this.#groups.remove(group);
  }

  letters(group: string | undefined, after: string | undefined, limit: number): Promise<readonly StoredMessage[]> {
    return this.#letters.list(group, after, limit);
  }

  letter(id: string): Promise<StoredMessage | undefined> {
    return this.#letters.get(id);
  }

  countLetters(group: string | undefined): Promise<number> {
    return this.#letters.count(group);
  }

  claimLetters(ids: readonly string[], token: string, leaseMs: number): Promise<readonly string[]> {
    return this.#letters.claim(ids, token, leaseMs);
  }

  removeLetters(ids: readonly string[], token: string): Promise<readonly string[]> {
    return this.#letters.remove(ids, token);
  }

  scheduled(after: string | undefined, limit: number): Promise<readonly ScheduledMessage[]> {
    return this.#shared.delayed.list(after, limit);
  }

  cancelScheduled(ids: readonly string[]): Promise<readonly string[]> {
    return this.#shared.delayed.cancel(ids);
  }

  async #upTo(facts: StreamFacts, { state, created }: NativeStream, before: StartAt): Promise<number> {
    if ("at" in before) return before.at === "oldest" ? 0 : state.last_seq;
    if ("time" in before) return (await matching(this.#shared, facts.native, [facts.filter(">")], before)).before;
    const now = { created, last: state.last_seq };
    const positions = Object.entries(before.positions).filter(
      ([partition]) => partition.split("/", 1)[0] === facts.name,
    );
    if (positions.length === 0) return 0;
    return Math.min(...positions.map(([partition, position]) => afterPosition(partition, position, now) - 1));
  }

  /** Others than the bus's groups may read what somebody else made. */
  #refuseAttached(stream: string, what: string): void {
    const attached = this.#shared.session.options.attach.get(stream);
    if (attached === undefined) return;
    throw new DriverError(
      "BUS_CONFLICT",
      `nats: stream "${stream}", which is "${attached.stream}" at the server, is not the bus's to ${what}`,
    );
  }

  async #stream(name: string): Promise<{ readonly facts: StreamFacts; readonly native: NativeStream }> {
    const found = await this.#shared.streams.look(name);
    if (found === undefined) throw new DriverError("BUS_NOT_FOUND", `nats: there is no stream "${name}"`);
    return found;
  }
}
