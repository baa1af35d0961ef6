import type { Cluster } from "./cluster.ts";
import { type FetchedPartition, fetchMessage } from "./fetch-answer.ts";
import type { Host } from "./link.ts";
import type { Links } from "./links.ts";

/** A partition that is read, and from where. */
export interface FetchPlace {
  readonly topic: string;
  readonly partition: number;
  /** What its offsets are of: another topic of that name is not read. Undefined: whichever. */
  readonly topicId?: string | undefined;
  readonly next: number;
  /** How many bytes are wanted; 0: nothing now. */
  readonly room: number;
  took(fetched: FetchedPartition): void;
  /** Kafka's number; what passes by waiting is not told. */
  failed(errorCode: number): void;
}

/** A request that waits at a broker. */
interface Poll {
  readonly leader: string;
  readonly slot: number;
  asked: ReadonlySet<FetchPlace>;
}

const pauseMs = 50;
/** What comes to be wanted while a request waits goes with another one, until the first is over. */
const slots = 3;
const sideMs = 100;
const leastBytes = 65_536;
const inconsistentTopicId = 103;
/** OFFSET_OUT_OF_RANGE, and what looks like another topic or none; all else passes by waiting, as a leader's move does. */
const told: ReadonlySet<number> = new Set([1, 3, 29, 100, inconsistentTopicId]);

/** Reads partitions, by one request for each leader that waits there. Whether brokers answer is told by `health`. */
export class FetchLoop {
  readonly #cluster: Cluster;
  readonly #links: readonly Links[];
  readonly #maxWaitMs: number;
  readonly #maxBytes: number;
  readonly #health: (error: unknown) => void;
  readonly #message: ReturnType<typeof fetchMessage>;
  readonly #places = new Set<FetchPlace>();
  readonly #polls = new Set<Poll>();
  #arranging = false;
  #looking = false;
  #closed = false;

  constructor(
    cluster: Cluster,
    limits: { readonly maxWaitMs: number; readonly fetchBytes: number },
    health: (error: unknown) => void = () => undefined,
  ) {
    this.#cluster = cluster;
    this.#links = Array.from({ length: slots }, () => cluster.links());
    this.#maxWaitMs = limits.maxWaitMs;
    this.#maxBytes = limits.fetchBytes;
    this.#health = health;
    this.#message = fetchMessage(cluster.module);
  }

  add(place: FetchPlace): void {
    this.#places.add(place);
    this.#cluster.topology.watch(place.topic);
    this.wake();
  }

  remove(place: FetchPlace): void {
    this.#places.delete(place);
  }

  /** A place is wanted now that was not before. */
  wake(): void {
    if (this.#arranging || this.#closed) return;
    this.#arranging = true;
    queueMicrotask(() => {
      this.#arranging = false;
      this.#arrange();
    });
  }

  close(): void {
    this.#closed = true;
    this.#places.clear();
    for (const links of this.#links) this.#cluster.drop(links);
  }

  #arrange(): void {
    if (this.#closed) return;
    let isLost = false;
    const leaders = new Set<string>();
    for (const place of this.#places) {
      if (place.room === 0 || this.#isAsked(place)) continue;
      const host = this.#cluster.topology.leader(place.topic, place.partition);
      if (host === undefined) isLost = true;
      else leaders.add(nameOf(host));
    }
    for (const leader of leaders) {
      const taken = new Set([...this.#polls].flatMap((poll) => (poll.leader === leader ? [poll.slot] : [])));
      const slot = this.#links.findIndex((_, at) => !taken.has(at));
      if (slot >= 0) void this.#run({ leader, slot, asked: new Set() });
    }
    if (isLost) this.#look();
  }

  #isAsked(place: FetchPlace): boolean {
    for (const { asked } of this.#polls) if (asked.has(place)) return true;
    return false;
  }

  /** Some partition has no leader, as far as is known. */
  #look(): void {
    if (this.#looking || this.#closed) return;
    this.#looking = true;
    void this.#cluster.topology
      .refresh()
      .catch((error: unknown) => this.#health(error))
      .then(() => this.#cluster.pause(pauseMs))
      .finally(() => {
        this.#looking = false;
        this.wake();
      });
  }

  /** The first request of a leader goes on; the others are over with their answer. */
  async #run(poll: Poll): Promise<void> {
    this.#polls.add(poll);
    try {
      do {
        const { topology } = this.#cluster;
        const here: FetchPlace[] = [];
        let host: Host | undefined;
        poll.asked = new Set();
        for (const place of this.#places) {
          const leader = topology.leader(place.topic, place.partition);
          if (leader === undefined || nameOf(leader) !== poll.leader || this.#isAsked(place)) continue;
          if (place.room === 0) continue;
          host = leader;
          here.push(place);
        }
        if (host === undefined) return;
        poll.asked = new Set(here);
        const waitMs = poll.slot > 0 ? Math.min(sideMs, this.#maxWaitMs) : this.#maxWaitMs;
        await this.#ask(poll, host, here, waitMs);
      } while (poll.slot === 0 && !this.#closed);
    } finally {
      this.#polls.delete(poll);
      this.wake();
    }
  }

  async #ask(poll: Poll, host: Host, here: readonly FetchPlace[], maxWaitMs: number): Promise<void> {
    try {
      await this.#fetch(poll, host, here, maxWaitMs);
    } catch (error) {
      if (this.#closed) return;
      this.#health(error);
      await this.#cluster.topology.refresh().catch(() => undefined); // whoever is asked next fails too, and is said
      await this.#cluster.pause(pauseMs);
    }
  }

  async #fetch(poll: Poll, host: Host, here: readonly FetchPlace[], maxWaitMs: number): Promise<void> {
    const { topology, requestTimeoutMs } = this.#cluster;
    const places = new Map<string, { readonly place: FetchPlace; readonly offset: number }>();
    const asked = here.flatMap((place) => {
      const topicId = topology.place(place.topic)?.id;
      if (topicId === undefined) return [];
      if (place.topicId !== undefined && !topicId.startsWith(place.topicId)) {
        place.failed(inconsistentTopicId);
        return [];
      }
      const { next: offset, partition } = place;
      places.set(`${topicId}:${partition}`, { place, offset });
      return [{ topicId, partition, offset, maxBytes: Math.max(leastBytes, Math.min(place.room, this.#maxBytes)) }];
    });
    const link = await this.#links[poll.slot]!.to(host);
    const answer = await link.ask(this.#message, [asked, maxWaitMs, this.#maxBytes], maxWaitMs + requestTimeoutMs);
    this.#health(undefined);
    let isMoved = answer.length === 0;
    for (const fetched of answer) {
      const found = places.get(`${fetched.topicId}:${fetched.partition}`);
      if (found === undefined || !this.#places.has(found.place) || found.place.next !== found.offset) continue;
      if (fetched.errorCode === 0) found.place.took(fetched);
      else {
        if (told.has(fetched.errorCode)) found.place.failed(fetched.errorCode);
        isMoved = true; // not again at once
      }
    }
    if (isMoved || topology.isStale) {
      await topology.refresh();
      if (isMoved) await this.#cluster.pause(pauseMs);
    }
  }
}

const nameOf = ({ host, port }: Host): string => `${host}:${port}`;
