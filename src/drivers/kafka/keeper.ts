import { newest, oldest } from "./cluster.ts";
import type { FullStream, GroupEntry } from "./control-fold.ts";
import type { Groups } from "./coordinator.ts";
import { groupPlaces } from "./group-places.ts";
import type { Session } from "./session.ts";

const shortestMs = 500;
const longestMs = 60_000;
/** Brokers look each five minutes, and whole segments go: what is to be kept for less is cut off by us. */
const oursBelowMs = 3_600_000;

interface Held {
  readonly firsts: readonly number[];
  readonly ends: readonly number[];
}

/** Cuts off what a stream is not to keep, where the broker would be too late or does not count. */
export class Keeper {
  readonly #session: Session;
  readonly #groups: Groups;
  /** Since when a group was seen without a member, in ticks. */
  readonly #desertedSince = new Map<string, number>();
  #timer: Disposable | undefined;
  #closed = false;

  constructor(session: Session, groups: Groups) {
    this.#session = session;
    this.#groups = groups;
  }

  start(): void {
    if (this.#session.context.manage === "create") this.#later();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
  }

  #later(): void {
    const short = this.#streams().map(({ maxAgeMs }) => maxAgeMs / 4);
    const wait = Math.min(
      longestMs,
      Math.max(shortestMs, ...(short.length === 0 ? [longestMs] : [Math.min(...short)])),
    );
    const { clock } = this.#session;
    this.#timer = clock.after(wait * (0.75 + clock.random() / 2), () => {
      void this.expire()
        .catch(() => undefined) // with the next
        .then(() => !this.#closed && this.#later());
    });
  }

  #streams(): readonly FullStream[] {
    return [...this.#session.control.fold.streams.values()]
      .map(({ options }) => options)
      .filter(({ maxAgeMs }) => maxAgeMs < oursBelowMs);
  }

  /** A stream that was declared with another age may want it sooner. */
  changed(): void {
    if (this.#timer === undefined || this.#closed) return;
    this.#timer[Symbol.dispose]();
    this.#later();
  }

  async expire(): Promise<void> {
    const { cluster, names, clock } = this.#session;
    for (const { name, partitions, maxAgeMs } of this.#streams()) {
      const topic = names.stream(name);
      const at = clock.now() - maxAgeMs;
      const places = Array.from({ length: partitions }, (_, partition) => partition);
      const [firsts, below] = await Promise.all([
        cluster.offsets(places.map((partition) => ({ topic, partition, at: oldest }))),
        cluster.offsets(places.map((partition) => ({ topic, partition, at }))),
      ]);
      await this.#cut(topic, firsts, below);
    }
  }

  /** How many more it takes; what may go for that goes. */
  async makeRoom(stream: FullStream, most: number): Promise<number> {
    const { cluster, names } = this.#session;
    const { name, partitions, whenFull } = stream;
    const topic = names.stream(name);
    const ask = (at: number): Promise<readonly number[]> =>
      cluster.offsets(Array.from({ length: partitions }, (_, partition) => ({ topic, partition, at })));
    const [firsts, ends] = await Promise.all([ask(oldest), ask(newest)]);
    const held = { firsts, ends };
    const count = countOf(held);
    // of what nobody needs more may go than has to: the next ones need not look
    const step = whenFull === "reject" ? Math.ceil(most / 2) : Math.max(1, Math.floor(most / 10));
    if (count + step <= most) return Math.max(1, Math.floor((most - count) / 2));
    const floors = whenFull === "reject" ? await this.floors(stream) : ends;
    const below = lowest(held, floors, count - (most - step));
    await this.#cut(topic, firsts, below);
    return Math.min(step, Math.max(0, most - countOf({ firsts: below, ends })));
  }

  /** Up to, and without, which offset nobody needs what a stream has, by partition. */
  async floors({ name, partitions, idleGroupMs }: FullStream, evenIdle = false): Promise<readonly number[]> {
    const { cluster, names, control, clock } = this.#session;
    const topic = names.stream(name);
    let floors: readonly number[] = Array.from({ length: partitions }, () => Number.POSITIVE_INFINITY);
    const id = await cluster.topicId(topic);
    for (const entry of control.fold.groups.values()) {
      if (!entry.spec.reads.some(({ stream }) => stream === name)) continue;
      if (!evenIdle && (await this.#isIdle(entry, idleGroupMs, clock.ticks()))) continue;
      const committed = (await this.#groups.committed(names.group(entry.spec.group))).get(topic);
      const places = groupPlaces(entry, { stream: name, topicId: id, partitions }, committed);
      floors = floors.map((floor, partition) => Math.min(floor, places[partition] ?? 0));
    }
    return floors;
  }

  async #isIdle({ spec }: GroupEntry, idleMs: number, now: number): Promise<boolean> {
    const found = await this.#groups.describe(this.#session.names.group(spec.group));
    if (found !== undefined && found.members.length > 0) {
      this.#desertedSince.delete(spec.group);
      return false;
    }
    const since = this.#desertedSince.get(spec.group) ?? now;
    this.#desertedSince.set(spec.group, since);
    return now - since >= idleMs;
  }

  async #cut(topic: string, firsts: readonly number[], below: readonly number[]): Promise<void> {
    const places = below.flatMap((offset, partition) =>
      offset > (firsts[partition] ?? 0) ? [{ topic, partition, offset }] : [],
    );
    if (places.length > 0) await this.#session.cluster.deleteRecords(places);
  }
}

const countOf = ({ firsts, ends }: Held): number =>
  ends.reduce((sum, end, partition) => sum + end - (firsts[partition] ?? 0), 0);

/** Where to cut so many off, from the longest partitions first, and no more than up to the floors. */
function lowest({ firsts, ends }: Held, floors: readonly number[], count: number): readonly number[] {
  const below = [...firsts];
  for (let left = count; left > 0;) {
    let longest = -1;
    for (const [partition, end] of ends.entries()) {
      if (below[partition]! >= Math.min(end, floors[partition] ?? end)) continue;
      if (longest < 0 || end - below[partition]! > ends[longest]! - below[longest]!) longest = partition;
    }
    if (longest < 0) break;
    below[longest] = below[longest]! + 1;
    left -= 1;
  }
  return below;
}
