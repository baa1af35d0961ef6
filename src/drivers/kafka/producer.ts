import type { Clock } from "../../clock.ts";
import type { ClientModule, ProducerId } from "./client.ts";
import { Lane, type LaneLimits, type Parcel } from "./lane.ts";
import type { Host, Link } from "./link.ts";
import type { Links } from "./links.ts";
import { produce, type ProduceSettings, type Sent, type Told } from "./produce.ts";
import type { Topology } from "./topology.ts";

const renewalPauseMs = 100;
/** Brokers close the connection above 100 MiB (`socket.request.max.bytes`), and small events would go down with large ones. */
const mostRequestBytes = 33_554_432;

export interface ProducerOptions {
  readonly module: ClientModule;
  readonly clock: Clock;
  readonly topology: Topology;
  /** To the leaders, for nothing else. */
  readonly links: Links;
  /** To any broker. */
  readonly any: () => Promise<Link>;
  readonly limits: LaneLimits;
  readonly settings: ProduceSettings;
}

/**
 * All records that this process stores: a lane for each partition, one batch of it under way, as many requests as there are
 * leaders. Every parcel is told once, in every state of the connections.
 */
export class Producer {
  readonly #options: ProducerOptions;
  /** By topic and partition. */
  readonly #lanes = new Map<string, (Lane | undefined)[]>();
  /** Those with something to do. */
  readonly #busy = new Set<Lane>();
  #id: ProducerId | undefined;
  #renewal: "none" | "wanted" | "under way" = "wanted";
  #timer: Disposable | undefined;
  #closed: { readonly error: unknown } | undefined;

  constructor(options: ProducerOptions) {
    this.#options = options;
    if (options.settings.acks !== -1) this.#renewal = "none";
  }

  /** Call `flush` when the turn's records are all in. */
  add(topic: string, partition: number, parcel: Parcel): void {
    if (this.#closed !== undefined) {
      parcel.failed("no", this.#closed.error);
      return;
    }
    const lane = this.#lanes.get(topic)?.[partition] ?? this.#newLane(topic, partition);
    lane.add(parcel);
    this.#busy.add(lane);
  }

  #newLane(topic: string, partition: number): Lane {
    const { topology, limits } = this.#options;
    topology.watch(topic);
    let lanes = this.#lanes.get(topic);
    if (lanes === undefined) this.#lanes.set(topic, (lanes = []));
    return (lanes[partition] = new Lane(topic, partition, limits));
  }

  *#all(): Iterable<Lane> {
    for (const lanes of this.#lanes.values()) for (const lane of lanes) if (lane !== undefined) yield lane;
  }

  /** Sends what can be sent now, and sees to the rest. */
  flush(): void {
    if (this.#closed !== undefined) return;
    const now = this.#options.clock.ticks();
    for (const lane of this.#busy) {
      if (lane.expire(now)) this.#wantNewId();
      if (lane.isEmpty) this.#busy.delete(lane);
    }
    this.#renew();
    this.#send(now);
    this.#arm(now);
  }

  #send(now: number): void {
    const { topology } = this.#options;
    const fresh = this.#renewal === "none";
    const byLeader = new Map<Host, Sent[]>();
    let isLost = topology.isStale;
    for (const lane of this.#busy) {
      const leader = topology.leader(lane.topic, lane.partition);
      lane.inTopic(topology.place(lane.topic)?.id);
      const batch = lane.take(now, fresh);
      if (batch === undefined) continue;
      if (leader === undefined) {
        lane.withoutLeader(batch, now, topology.isMissing(lane.topic));
        isLost = true;
        continue;
      }
      const sent = byLeader.get(leader);
      if (sent === undefined) byLeader.set(leader, [{ lane, batch }]);
      else sent.push({ lane, batch });
    }
    if (isLost) this.#look();
    for (const [leader, sent] of byLeader) for (const some of inRequests(sent)) void this.#request(leader, some);
  }

  /** A partition without a leader is asked for at once, then with the lane's next try. */
  #look(): void {
    this.#options.topology.refresh().then(
      () => this.#again(),
      () => undefined,
    );
  }

  #again(): void {
    for (const lane of this.#busy) lane.leaderKnown();
    this.flush();
  }

  async #request(leader: Host, sent: readonly Sent[]): Promise<void> {
    const { clock, links, module, settings } = this.#options;
    let told: readonly Told[];
    try {
      told = await produce(module, await links.to(leader), sent, this.#id, clock.now(), settings);
    } catch {
      // no answer says nothing of any of them
      told = sent.map((each) => ({ ...each, outcome: undefined, offset: -1n }));
    }
    if (told.some(({ lane, outcome, offset }) => outcome?.what === "stored" && lane.isTaken(offset))) {
      await this.#options.topology.refresh().catch(() => undefined); // as it is known: an alarm too many, never one too few
      for (const { lane } of told) lane.inTopic(this.#options.topology.place(lane.topic)?.id);
    }
    const now = this.#options.clock.ticks();
    let leaderMoved = false;
    for (const { lane, batch, outcome, offset } of told) {
      if (outcome === undefined) lane.notSent(batch, now);
      else if (lane.answered(batch, outcome, offset, now)) this.#wantNewId();
      leaderMoved ||= outcome === undefined || (outcome.what === "again" && outcome.leaderMoved);
    }
    if (leaderMoved) this.#options.topology.refresh().catch(() => undefined); // the next try fails, and asks again
    this.flush();
  }

  #wantNewId(): void {
    if (this.#renewal === "none" && this.#options.settings.acks === -1) this.#renewal = "wanted";
  }

  /** Not while the broker may know a batch by the old id: it would be stored a second time under the new one. */
  #renew(): void {
    if (this.#renewal !== "wanted" || this.#busy.size === 0) return;
    for (const lane of this.#busy) if (lane.isUncertain) return;
    this.#renewal = "under way";
    this.#newId().then(
      (id) => {
        this.#id = id;
        this.#renewal = "none";
        for (const lane of this.#all()) lane.renewed();
        this.flush();
      },
      () => {
        this.#options.clock.after(renewalPauseMs, () => {
          this.#renewal = "wanted";
          this.flush();
        });
      },
    );
  }

  async #newId(): Promise<ProducerId> {
    const { any, module, settings } = this.#options;
    const link = await any();
    return await link.ask(module.initProducerIdV5, [null, 60_000, undefined, undefined], settings.requestTimeoutMs);
  }

  #arm(now: number): void {
    this.#timer?.[Symbol.dispose]();
    let next = Number.POSITIVE_INFINITY;
    for (const lane of this.#busy) next = Math.min(next, lane.nextAt);
    if (!Number.isFinite(next)) return;
    const least = this.#renewal === "none" ? 1 : renewalPauseMs / 5; // what waits for the next id is due all the time
    this.#timer = this.#options.clock.after(Math.max(least, next - now), () => this.flush());
  }

  /** Whatever is open is told. */
  close(error: unknown): void {
    if (this.#closed !== undefined) return;
    this.#closed = { error };
    this.#timer?.[Symbol.dispose]();
    for (const lane of this.#all()) lane.close(error);
    this.#busy.clear();
  }
}

/** What goes to one leader, in requests that it takes: at least one batch each. */
function* inRequests(sent: readonly Sent[]): Iterable<readonly Sent[]> {
  let some: Sent[] = [];
  let bytes = 0;
  for (const each of sent) {
    const size = each.batch.parcels.reduce((sum, parcel) => sum + parcel.bytes, 0);
    if (some.length > 0 && bytes + size > mostRequestBytes) {
      yield some;
      [some, bytes] = [[], 0];
    }
    some.push(each);
    bytes += size;
  }
  if (some.length > 0) yield some;
}
