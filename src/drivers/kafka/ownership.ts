import type { Window } from "../../driver.ts";
import type { Shares } from "./assignor.ts";
import type { Committer } from "./committer.ts";
import type { GroupEntry } from "./control-fold.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { apiIdOf } from "./errors.ts";
import type { FetchLoop } from "./fetch-loop.ts";
import type { GroupLane, LaneHost } from "./group-lane.ts";
import type { Work } from "./group-member.ts";
import type { Membership } from "./membership.ts";
import { parseRef, refOf } from "./names.ts";
import { passedBy } from "./reading.ts";
import type { Shared } from "./shared.ts";
import { takeOver } from "./takeover.ts";

const againMs = 100;
const unknownTopic = 3;
const unauthorized = 29;

export interface OwnershipOptions {
  readonly shared: Shared;
  readonly work: Work;
  readonly lanes: LaneHost;
  readonly committer: Committer;
  readonly membership: Membership;
  readonly loop: FetchLoop;
  readonly entry: () => GroupEntry;
  /** It takes more. */
  readonly isOpen: () => boolean;
  /** Something may be handed out. */
  readonly arrived: () => void;
  readonly said: (reason: string) => void;
  readonly taken: (lane: GroupLane) => void;
  /** What is in hand of it is another's. */
  readonly dropped: (lane: GroupLane) => void;
  readonly refused: (error: unknown) => void;
}

/** The partitions that a member owns: taken when they are its share, given up when nothing of them runs. */
export class Ownership {
  readonly #options: OwnershipOptions;
  readonly #owned = new Map<string, GroupLane>();
  readonly #taking = new Set<string>();
  /** To be given up, but not taken yet. */
  readonly #unwanted = new Set<string>();
  readonly #giving = new Set<GroupLane>();
  /** Of the last round, and not ours any more. */
  readonly #given = new Set<string>();
  readonly #windows = new Map<string, Window>();
  readonly #cutBelow = new Map<string, number>();
  #shares: Shares | undefined;
  /** With each loss what was begun before it is in vain. */
  #life = 0;

  constructor(options: OwnershipOptions) {
    this.#options = options;
  }

  get lanes(): Iterable<GroupLane> {
    return this.#owned.values();
  }

  get held(): ReadonlySet<string> {
    return new Set([...this.#owned.keys(), ...this.#taking]);
  }

  /** Who owns which partition, and who we are. */
  get others(): { readonly owners: ReadonlyMap<string, string>; readonly me: string } {
    return { owners: this.#shares?.owners ?? new Map(), me: this.#options.membership.memberId };
  }

  window(ref: string, window: Window): void {
    this.#windows.set(ref, window);
    const lane = this.#owned.get(ref);
    if (lane !== undefined) lane.credit.window = window;
  }

  shared({ give }: { readonly give: readonly string[] }, shares: Shares): void {
    this.#shares = shares;
    this.#given.clear();
    for (const ref of give) {
      const lane = this.#owned.get(ref);
      if (lane === undefined) this.#unwanted.add(ref);
      else this.#drain(lane);
    }
    this.look();
  }

  /** Takes what is its own by the last round and known by now; asks for a round where that left something out. */
  look(): void {
    const { work, membership, isOpen } = this.#options;
    if (this.#shares === undefined) return;
    const { owners, targets } = this.#shares;
    const lanes = work.lanes();
    for (const lane of [...this.#owned.values()]) if (!lanes.has(lane.lane)) this.#drop(lane);
    if (!isOpen()) return;
    for (const [lane, { partitions }] of lanes) {
      if (targets.size > 0 && !targets.has(refOf(lane, partitions - 1))) membership.round();
      const refs: string[] = [];
      for (let partition = 0; partition < partitions; partition += 1) {
        const ref = refOf(lane, partition);
        const isMine = owners.get(ref) === membership.memberId && !this.#given.has(ref);
        if (isMine && !this.#owned.has(ref) && !this.#taking.has(ref)) refs.push(ref);
      }
      if (refs.length > 0) void this.#take(refs);
    }
  }

  /** There is another definition: everybody is to know that it is gone by, and what begins earlier is read again from there. */
  redefined(): void {
    for (const lane of [...this.#owned.values()]) {
      if (!lane.wasPutBack) this.#options.committer.soon(lane, 0);
      else if (lane.state === "draining") this.#giveAway(lane);
      else this.#drop(lane);
    }
    this.look();
  }

  drainAll(): void {
    for (const lane of this.#owned.values()) this.#drain(lane);
  }

  /** What is settled of a queue, or of what is due later, is needed by nobody. */
  cut(): void {
    const places = [...this.#owned.values()].flatMap(({ place, topic, partition, committed }) =>
      place.lane === "queue" && committed > (this.#cutBelow.get(`${topic}:${partition}`) ?? 0)
        ? [{ topic, partition, offset: committed }]
        : [],
    );
    if (places.length === 0) return;
    for (const { topic, partition, offset } of places) this.#cutBelow.set(`${topic}:${partition}`, offset);
    const { cluster } = this.#options.shared.session;
    void cluster.deleteRecords(places).catch(() => undefined); // with the next
  }

  /** If no handler of it can be running. */
  giveUp(lane: GroupLane): void {
    if (lane.state === "draining" && lane.isDrained() && !this.#giving.has(lane)) void this.#giveUp(lane);
  }

  lost(): void {
    this.#life += 1;
    this.#shares = undefined;
    this.#taking.clear();
    this.#unwanted.clear();
    this.#options.committer.lost();
    for (const lane of [...this.#owned.values()]) this.#drop(lane);
  }

  close(): void {
    this.#life += 1;
    for (const lane of this.#owned.values()) {
      for (const message of lane.hand.values()) message.over = true;
      lane.end();
    }
  }

  async #take(refs: readonly string[]): Promise<void> {
    const { isOpen, membership, refused, shared } = this.#options;
    const life = this.#life;
    for (const ref of refs) this.#taking.add(ref);
    let left = refs;
    while (left.length > 0 && life === this.#life && isOpen() && this.#isKnown(left)) {
      try {
        left = await this.#tryToTake(left, life);
      } catch (error) {
        if (apiIdOf(error)?.endsWith("AUTHORIZATION_FAILED") === true) return refused(error);
      }
      if (left.length > 0) await shared.session.cluster.pause(againMs);
    }
    if (life !== this.#life) return;
    for (const ref of left) this.#taking.delete(ref);
    if (left.length > 0) membership.round();
  }

  #taken(lane: GroupLane): void {
    const { isOpen, loop, committer, membership, arrived } = this.#options;
    this.#taking.delete(lane.ref);
    if (!isOpen() || this.#unwanted.delete(lane.ref)) {
      lane.end();
      this.#given.add(lane.ref);
      return membership.round();
    }
    this.#owned.set(lane.ref, lane);
    const window = this.#windows.get(lane.ref);
    if (window !== undefined) lane.credit.window = window;
    if (lane.reading !== undefined) loop.add(lane.reading);
    // the definition may have changed under the commit that took it: whoever changed it waits for the next one
    if (lane.changed) committer.soon(lane, 0);
    this.#options.taken(lane);
    arrived();
  }

  #isKnown(refs: readonly string[]): boolean {
    const lanes = this.#options.work.lanes();
    return refs.every((ref) => lanes.has(parseRef(ref).lane));
  }

  /** Which of them could not be taken yet. */
  async #tryToTake(refs: readonly string[], life: number): Promise<readonly string[]> {
    const { shared, work, lanes: host, committer, loop, entry, arrived, said } = this.#options;
    const lanes = await takeOver({
      ...{ shared, work, host, committer, refs, entry, loop, said },
      listener: (lane) => ({
        came: arrived,
        passed: arrived,
        wake: () => loop.wake(),
        lost: said,
        trimmed: (first) => {
          if (lane().trimmed(first)) said(passedBy);
        },
        cutOff: (end) => this.#cutOff(lane(), end),
        gone: (errorCode) => this.#topicGone(lane(), errorCode),
      }),
    });
    const done = await Promise.all(lanes.map(async (lane) => life === this.#life && (await committer.now(lane))));
    return lanes.flatMap((lane, at) => {
      if (life === this.#life && done[at] === true && !lane.wasPutBack) this.#taken(lane);
      else lane.end();
      return lane.state === "over" && !this.#given.has(lane.ref) ? [lane.ref] : [];
    });
  }

  /** Of its commit alone. True: it is not committed again. */
  refused(lane: GroupLane, errorCode: number): boolean {
    const isOwned = this.#owned.get(lane.ref) === lane;
    if (errorCode === unknownTopic) {
      if (isOwned) this.#topicGone(lane, errorCode);
      else this.#options.shared.session.cluster.topology.forget(lane.topic); // it is taken again
      return !isOwned;
    }
    this.#options.refused(refusal(lane.topic, errorCode));
    return true;
  }

  #cutOff(lane: GroupLane, end: number): void {
    if (this.#owned.get(lane.ref) !== lane) return;
    this.#options.dropped(lane);
    lane.cutOff(end);
    this.#options.committer.soon(lane, 0);
  }

  /** Topics of which that was said. */
  readonly #gone = new Set<string>();
  readonly #doubted = new Set<GroupLane>();

  /** A broker that lags says so too. Made again under its name, as another topic, it is read from its oldest. */
  #topicGone(lane: GroupLane, errorCode: number): void {
    if (this.#owned.get(lane.ref) !== lane || this.#doubted.has(lane)) return;
    if (errorCode === unauthorized) return this.#options.refused(refusal(lane.topic, errorCode));
    this.#doubted.add(lane);
    lane.reading?.pause(true);
    void this.#isAnother(lane)
      .catch(() => false) // whoever reads it is told again
      .then((isAnother) => {
        this.#doubted.delete(lane);
        if (this.#owned.get(lane.ref) !== lane) return;
        if (!isAnother) return lane.reading?.pause(false);
        this.#sayGone(lane);
        this.#drop(lane);
        this.look();
      });
  }

  /** Once of a topic: nobody can tell any more what had been stored in it last. */
  #sayGone({ topicId, isEmpty }: GroupLane): void {
    if (isEmpty || this.#gone.has(topicId)) return;
    this.#gone.add(topicId);
    this.#options.said("its topic was deleted");
  }

  async #isAnother(lane: GroupLane): Promise<boolean> {
    const { cluster } = this.#options.shared.session;
    await cluster.topology.refresh();
    if (cluster.topology.place(lane.topic)?.id.startsWith(lane.topicId) === true) return false;
    await this.#heal(lane);
    return (await cluster.topicIdIfAny(lane.topic)) !== lane.topicId;
  }

  async #heal({ topic, place, lane }: GroupLane): Promise<void> {
    const { shared, work } = this.#options;
    shared.session.cluster.topology.forget(topic);
    if (work.heal !== undefined) await work.heal();
    else if (place.lane === "queue") await shared.queues.make(work.group);
    else await shared.streams.heal(lane);
  }

  #drain(lane: GroupLane): void {
    lane.drain();
    this.giveUp(lane);
  }

  async #giveUp(lane: GroupLane): Promise<void> {
    const { committer } = this.#options;
    this.#giving.add(lane);
    let done = true;
    while (done && lane.isDrained() && (!lane.isKnown || !lane.isFinal)) {
      lane.finish("kept");
      done = await committer.now(lane);
    }
    this.#giving.delete(lane);
    if (!done || this.#owned.get(lane.ref) !== lane) return;
    if (!lane.isDrained()) return lane.finish(undefined); // one whose time came meanwhile is in a handler's hands
    this.#giveAway(lane);
  }

  #giveAway(lane: GroupLane): void {
    this.#given.add(lane.ref);
    this.#drop(lane);
    this.#options.membership.round();
  }

  #drop(lane: GroupLane): void {
    this.#owned.delete(lane.ref);
    this.#options.committer.forget(lane);
    lane.end();
    this.#options.dropped(lane);
  }
}

function refusal(topic: string, errorCode: number): DriverError {
  if (errorCode === unauthorized)
    return new DriverError("BUS_AUTHENTICATION", `kafka: ${topic} may not be read, or offsets of it not be committed`);
  return new DriverError("BUS_TOO_LARGE", `kafka: what is committed of ${topic} is larger than the broker takes`);
}
