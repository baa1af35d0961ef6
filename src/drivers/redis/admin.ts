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
import type { Definitions } from "./definitions.ts";
import { Delayed } from "./delayed.ts";
import { replyWord } from "./errors.ts";
import { GroupAdmin } from "./group-admin.ts";
import { resetGroup } from "./group-reset.ts";
import { idOfTime, timeOfId } from "./id.ts";
import { escapeName } from "./keys.ts";
import { Letters } from "./letters.ts";
import { listOf, numberOf, textOf } from "./reply.ts";
import { dropPartitionScript, dropStreamScript } from "./scripts/delete.ts";
import { expireScript, trimScript } from "./scripts/trim.ts";
import type { Session } from "./session.ts";
import { laneInfo, type LaneInfo } from "./stream-info.ts";
import type { StoredStream, Streams } from "./streams.ts";

const lastSequence = 2n ** 64n - 1n;

export function adminOf(session: Session, streams: Streams, definitions: Definitions): DriverAdmin {
  return new RedisAdmin(session, streams, definitions);
}

/** Everything that an operator may ask; what takes more than one step leaves a mark or is found again by its name. */
class RedisAdmin implements DriverAdmin {
  readonly #session: Session;
  readonly #streams: Streams;
  readonly #definitions: Definitions;
  readonly #groups: GroupAdmin;
  readonly #letters: Letters;
  readonly #delayed: Delayed;

  constructor(session: Session, streams: Streams, definitions: Definitions) {
    this.#session = session;
    this.#streams = streams;
    this.#definitions = definitions;
    this.#groups = new GroupAdmin(session, definitions);
    this.#letters = new Letters(session);
    this.#delayed = new Delayed(session);
  }

  async streams(): Promise<readonly StreamInfo[]> {
    const [all, groups] = await Promise.all([this.#streams.all(), this.#definitions.all()]);
    return await Promise.all(
      all.map(async (stream) => {
        const lane = this.#session.keys.stream(stream.name);
        await this.#expire(lane);
        const readers = groups.filter(({ reads }) => reads.some((read) => read.stream === stream.name));
        const names = readers.map(({ group }) => group).toSorted();
        return infoOf(stream, await laneInfo(this.#session, lane), names);
      }),
    );
  }

  async positions(stream: string): Promise<Readonly<Record<string, string>>> {
    const { partitions } = await this.#lane(stream);
    return Object.fromEntries(partitions.map(({ ref, last }) => [this.#session.keys.partitionOf(ref), last]));
  }

  async trim(stream: string, before: StartAt): Promise<number> {
    const { hash, partitions } = await this.#lane(stream);
    if (hash["key"] !== undefined)
      throw new DriverError(
        "BUS_UNSUPPORTED",
        `redis: stream "${stream}" is somebody else's key, whose readers we don't know`,
      );
    const lane = this.#session.keys.stream(stream);
    let trimmed = 0;
    for (const [number, { ref }] of partitions.entries()) {
      const lowest = lowestOf(before, this.#session.keys.partitionOf(ref));
      if (lowest === undefined) continue;
      for (let more = true; more;) {
        const [removed, rest] = listOf(await this.#session.run(trimScript, [lane, String(number), lowest]));
        trimmed += numberOf(removed);
        more = numberOf(rest) === 1;
      }
    }
    return trimmed;
  }

  async deleteStream(stream: string): Promise<boolean> {
    const lane = this.#session.keys.stream(stream);
    const [there, ...laidAside] = listOf(
      await this.#session.run(dropStreamScript, [escapeName(stream), this.#session.process]),
    ).map(numberOf);
    for (const partition of laidAside) {
      let from = "";
      do {
        from = textOf(await this.#session.run(dropPartitionScript, [lane, String(partition), from]));
      } while (from !== "");
    }
    return there === 1;
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
    return resetGroup(this.#session, group, to);
  }

  recoverGroup(group: string, idleMs: number): Promise<number> {
    return this.#groups.recover(group, idleMs);
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
    return this.#delayed.list(after, limit);
  }

  cancelScheduled(ids: readonly string[]): Promise<readonly string[]> {
    return this.#delayed.cancel(ids);
  }

  async #expire(lane: string): Promise<void> {
    while (numberOf(await this.#session.run(expireScript, [lane])) === 1);
  }

  async #lane(stream: string): Promise<LaneInfo> {
    try {
      return await laneInfo(this.#session, this.#session.keys.stream(stream));
    } catch (error) {
      if (replyWord(error) !== "NOSTREAM") throw error;
      throw new DriverError("BUS_NOT_FOUND", `redis: there is no stream "${stream}"`);
    }
  }
}

/** The lowest id that stays; "": none has to; undefined: all do. */
function lowestOf(before: StartAt, partition: string): string | undefined {
  if ("at" in before) return before.at === "newest" ? "" : undefined;
  if ("time" in before) return following(idOfTime(before.time));
  const position = before.positions[partition];
  if (position === undefined) return undefined;
  if (!/^\d{1,20}-\d{1,20}$/.test(position))
    throw new DriverError("BUS_INVALID_OPTION", `redis: position (${partition}): not the id of an entry`);
  return following(position);
}

const following = (id: string): string => {
  const [ms = "0", sequence = "0"] = id.split("-");
  return BigInt(sequence) === lastSequence ? `${BigInt(ms) + 1n}-0` : `${ms}-${BigInt(sequence) + 1n}`;
};

function infoOf(stream: StoredStream, { hash, partitions }: LaneInfo, groups: readonly string[]): StreamInfo {
  const filled = partitions.filter(({ length }) => length > 0);
  const bytes = Number(hash["bytes"]);
  return {
    name: stream.name,
    topics: stream.topics,
    partitions: partitions.length,
    messages: filled.reduce((sum, { length }) => sum + length, 0),
    bytes: hash["key"] === undefined && Number.isFinite(bytes) ? bytes : undefined,
    first: filled.length === 0 ? undefined : new Date(Math.min(...filled.map(({ first }) => timeOfId(first!)))),
    last: filled.length === 0 ? undefined : new Date(Math.max(...filled.map(({ last }) => timeOfId(last)))),
    groups,
  };
}
