import type { DriverAdmin, GroupSpec, GroupState, Member, StartAt, StoredMessage, StreamInfo } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { notOurs } from "./attach.ts";
import { newest, oldest } from "./cluster.ts";
import { waitingDelays } from "./waiting-delays.ts";
import type { FullStream } from "./control-fold.ts";
import type { Definitions } from "./definitions.ts";
import { groupMembers, groupState } from "./group-state.ts";
import type { Keeper } from "./keeper.ts";
import { refOf } from "./names.ts";
import type { RecordReader } from "./record-reader.ts";
import type { Shared } from "./shared.ts";
import { offsetAfter } from "./start-offsets.ts";

/** Everything that an operator may ask. */
export class KafkaAdmin implements DriverAdmin {
  readonly #shared: Shared;
  readonly #definitions: Definitions;
  readonly #reader: RecordReader;
  readonly #keeper: Keeper;

  constructor(shared: Shared, definitions: Definitions, reader: RecordReader, keeper: Keeper) {
    this.#keeper = keeper;
    this.#shared = shared;
    this.#definitions = definitions;
    this.#reader = reader;
  }

  async streams(): Promise<readonly StreamInfo[]> {
    const { session } = this.#shared;
    const { groups } = await session.control.current();
    await this.#keeper.expire();
    const there = await this.#shared.streams.there();
    const sizes = await this.#sizes(there.map(({ name }) => name));
    return await Promise.all(
      there.map(async (options) => {
        const readers = [...groups.values()].filter(({ spec }) =>
          spec.reads.some(({ stream }) => stream === options.name),
        );
        const names = readers.map(({ spec }) => spec.group).toSorted();
        return await this.#info(options, sizes.get(options.name), names);
      }),
    );
  }

  async positions(stream: string): Promise<Readonly<Record<string, string>>> {
    const { partitions } = await this.#stream(stream);
    const ends = await this.#offsets(stream, partitions, newest);
    return Object.fromEntries(ends.map((end, partition) => [refOf(stream, partition), String(end - 1)]));
  }

  async trim(name: string, before: StartAt): Promise<number> {
    const { cluster, names } = this.#shared.session;
    const stream = await this.#stream(name);
    const { partitions, attached } = stream;
    if (attached !== undefined) throw notOurs(name, attached.topic, "trim");
    const topic = names.stream(name);
    const [firsts, ends] = [
      await this.#offsets(name, partitions, oldest),
      await this.#offsets(name, partitions, newest),
    ];
    let below =
      "time" in before
        ? await this.#offsets(name, partitions, before.time)
        : ends.map((end, partition) => {
            if ("at" in before) return before.at === "newest" ? end : 0;
            const position = before.positions[refOf(name, partition)];
            return position === undefined ? 0 : Math.min(end, offsetAfter(position, refOf(name, partition)));
          });
    const floors = await this.#keeper.floors(stream, true);
    below = below.map((offset, partition) => Math.min(offset, floors[partition] ?? offset));
    const places = below.flatMap((offset, partition) =>
      offset > (firsts[partition] ?? 0) ? [{ topic, partition, offset }] : [],
    );
    if (places.length > 0) await cluster.deleteRecords(places);
    return places.reduce((sum, { partition, offset }) => sum + offset - (firsts[partition] ?? 0), 0);
  }

  deleteStream(stream: string): Promise<boolean> {
    return this.#shared.streams.delete(stream);
  }

  async groups(): Promise<readonly GroupState[]> {
    const { groups } = await this.#shared.session.control.current();
    const delayed = await waitingDelays(this.#shared, this.#reader);
    const states: GroupState[] = [];
    for (const entry of groups.values()) states.push(await groupState(this.#shared, entry, this.#reader, delayed));
    return states;
  }

  async members(group: string): Promise<readonly Member[]> {
    return await groupMembers(this.#shared, group);
  }

  updateGroup(group: string, reads: GroupSpec["reads"]): Promise<void> {
    return this.#definitions.update(group, reads);
  }

  resetGroup(group: string, to: StartAt): Promise<void> {
    return this.#definitions.reset(group, to);
  }

  deleteGroup(group: string): Promise<boolean> {
    return this.#definitions.delete(group);
  }

  letters(group: string | undefined, after: string | undefined, limit: number): Promise<readonly StoredMessage[]> {
    return this.#shared.letters.list(group, after, limit);
  }

  letter(id: string): Promise<StoredMessage | undefined> {
    return this.#shared.letters.get(id);
  }

  countLetters(group: string | undefined): Promise<number> {
    return this.#shared.letters.count(group);
  }

  claimLetters(ids: readonly string[], token: string, leaseMs: number): Promise<readonly string[]> {
    return this.#shared.letters.claim(ids, token, leaseMs);
  }

  removeLetters(ids: readonly string[], token: string): Promise<readonly string[]> {
    return this.#shared.letters.remove(ids, token);
  }

  async #stream(stream: string): Promise<FullStream> {
    const { streams } = await this.#shared.session.control.current();
    const found = streams.get(stream);
    if (found === undefined) throw new DriverError("BUS_NOT_FOUND", `kafka: there is no stream "${stream}"`);
    return found.options;
  }

  async #offsets(stream: string, partitions: number, at: number): Promise<readonly number[]> {
    const { cluster, names } = this.#shared.session;
    const topic = names.stream(stream);
    return await cluster.offsets(Array.from({ length: partitions }, (_, partition) => ({ topic, partition, at })));
  }

  async #info(options: FullStream, bytes: number | undefined, groups: readonly string[]): Promise<StreamInfo> {
    const { name, topics, partitions } = options;
    const [firsts, ends] = await Promise.all([
      this.#offsets(name, partitions, oldest),
      this.#offsets(name, partitions, newest),
    ]);
    const topic = this.#shared.session.names.stream(name);
    const times: number[] = [];
    let messages = 0;
    for (const [partition, first] of firsts.entries()) {
      const end = ends[partition] ?? 0;
      messages += end - first;
      if (end <= first) continue;
      const [oldestRecord] = await this.#reader.read(topic, partition, first);
      const newestRecord = (await this.#reader.read(topic, partition, end - 1)).at(-1);
      for (const record of [oldestRecord, newestRecord]) if (record !== undefined) times.push(record.time);
    }
    return {
      ...{ name, topics, partitions, messages, bytes, groups },
      first: times.length === 0 ? undefined : new Date(Math.min(...times)),
      last: times.length === 0 ? undefined : new Date(Math.max(...times)),
    };
  }

  /** As the brokers' disks have it; of several copies the first. */
  async #sizes(streams: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const { cluster, names, module } = this.#shared.session;
    const asked = streams.map((name) => ({
      name: names.stream(name),
      partitions: Array.from(
        { length: this.#shared.streams.get(name)?.options.partitions ?? 0 },
        (_, partition) => partition,
      ),
    }));
    const sizes = new Map<string, number>();
    try {
      const { results } = await cluster.ask(module.describeLogDirsV4, [asked]);
      for (const { topics } of results)
        for (const { name, partitions } of topics) {
          const stream = streams.find((each) => names.stream(each) === name);
          const bytes = partitions.reduce((sum, { partitionSize }) => sum + Number(partitionSize), 0);
          if (stream !== undefined) sizes.set(stream, (sizes.get(stream) ?? 0) + bytes);
        }
    } catch {
      // not allowed to ask: unknown
    }
    return sizes;
  }
}
