import { type Start, startIn } from "./group-start.ts";
import { consumerNames } from "./consumer-names.ts";
import { makeEpoch, makeQueue, nativeOf, progressOf } from "./group-consumers.ts";
import type { GroupDefinition } from "./group-plan.ts";
import { keys, queueLane } from "./names.ts";
import type { Owner, OwnerStore, Progress } from "./owner.ts";
import type { Shared } from "./shared.ts";

/** The steps of a takeover at the server, for one partition of an ordered group, or for its queue. */
export class PartitionStore implements OwnerStore {
  readonly #shared: Shared;
  readonly #group: string;
  readonly stream: string;
  readonly partition: number;
  readonly #key: string;
  readonly #over: () => boolean;
  #first = 0;
  /** The oldest sequence of its stream when it was last looked at. */
  oldest = 0;

  constructor(shared: Shared, group: string, stream: string, partition: number, over: () => boolean = () => false) {
    this.#over = over;
    this.#shared = shared;
    this.#group = group;
    this.stream = stream;
    this.partition = partition;
    this.#key = keys.owner(group, stream, partition);
  }

  async read(): Promise<{ readonly owner: Owner; readonly revision: number } | undefined> {
    const found = await this.#shared.bucket.getJson<Owner>(this.#key);
    return found === undefined ? undefined : { owner: found.value, revision: found.revision };
  }

  async swap(owner: Owner, expected: number): Promise<number | undefined> {
    return await this.#shared.bucket.putJson(this.#key, owner, { expect: expected });
  }

  async definition(): Promise<{ readonly definition: GroupDefinition; readonly created: string } | undefined> {
    const { definitions, streams } = this.#shared;
    const [found, stream] = await Promise.all([
      definitions.get(this.#group),
      this.stream === queueLane ? undefined : streams.look(this.stream),
    ]);
    if (found === undefined) return undefined;
    const { definition } = found;
    this.#first = definition.first;
    if (this.stream === queueLane) return { definition, created: queueLane };
    if (stream === undefined || !definition.reads.some((read) => read.stream === this.stream)) return undefined;
    this.oldest = stream.native.state.first_seq;
    return { definition, created: stream.facts.created };
  }

  start({ starts }: GroupDefinition, created: string): Start {
    return startIn(starts, this.stream, this.partition, created);
  }

  patterns(definition: GroupDefinition): string {
    return patternsOf(definition, this.stream);
  }

  async progress(epoch: number): Promise<Progress | undefined> {
    const info = await this.#shared.api.consumerInfo(nativeOf(this.#shared, this.stream), this.nameOf(epoch));
    return info === undefined ? undefined : progressOf(info);
  }

  async remove(epoch: number): Promise<void> {
    await this.#shared.api.deleteConsumer(nativeOf(this.#shared, this.stream), this.nameOf(epoch));
  }

  async make(owner: Owner, definition: GroupDefinition): Promise<number> {
    const name = this.nameOf(owner.reader);
    if (this.stream === queueLane) {
      await makeQueue(this.#shared, definition, name, this.#over);
      return 0;
    }
    const facts = this.#shared.streams.get(this.stream)!;
    const start = owner.floor === null ? this.start(definition, owner.created) : { sequence: owner.floor + 1 };
    const patterns = owner.patterns.split(" ");
    const filter = (pattern: string): string => facts.filter(pattern, this.partition);
    const info = await makeEpoch(this.#shared, definition, facts.native, name, start, patterns, filter, this.#over);
    return info.delivered.stream_seq;
  }

  nameOf(epoch: number): string {
    return consumerNames.epoch({ group: this.#group, first: this.#first }, this.partition, epoch);
  }
}

/** What is read of a stream, in one text; of the queue everything is. */
export const patternsOf = ({ reads }: GroupDefinition, stream: string): string =>
  reads.find((read) => read.stream === stream)?.patterns.join(" ") ?? "";
