import type { Clock } from "../../clock.ts";
import { type Claimant, partOf, share, type Shares } from "./assignor.ts";
import type { ClientModule, JoinAnswer } from "./client.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { apiIdOf, NoAnswer } from "./errors.ts";
import type { Link } from "./link.ts";
import { SessionClock } from "./session-clock.ts";

export const protocol = "omnibus-1";
const shortestPauseMs = 50;
const longestPauseMs = 1_000;
/** By which our own timers may be late, at a session of so much and more. */
const [lateMs, lateShare] = [500, 10];

export interface MembershipOptions {
  readonly module: ClientModule;
  readonly clock: Clock;
  /** As Kafka has it. */
  readonly group: string;
  readonly sessionTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly requestTimeoutMs: number;
  /** To the coordinator; `join` is one of its own, since it waits there. */
  link(duty: "command" | "join"): Promise<Link>;
  /** It is another one by now. */
  coordinatorMoved(): void;
  /** Topics for Kafka's own tools, and what the other members are to know of this one. */
  about(): { readonly topics: readonly string[]; readonly member: object; readonly stops: boolean };
  /** Partitions of each lane that is to be shared, as this member knows them when it leads. */
  lanes(): ReadonlyMap<string, number>;
  refOf(lane: string, partition: number): string;
  /** What it holds, given-up ones included until nothing of them runs. */
  held(): ReadonlySet<string>;
  shared(part: ReturnType<typeof partOf>, shares: Shares): void;
  /** Others may have what it held: abort, forget. It joins again by itself. */
  lost(): void;
  /** It can't be a member, and waiting does not help. */
  refused?(error: unknown): void;
}

interface UserData {
  readonly claims: readonly string[];
  readonly generation: number;
  readonly stops: boolean;
}

/** Kafka's codes after which nothing that was held is ours. */
const isLoss = (apiId: string | undefined): boolean =>
  apiId === "UNKNOWN_MEMBER_ID" || apiId === "ILLEGAL_GENERATION" || apiId === "FENCED_INSTANCE_ID";
const isRefusal = (apiId: string | undefined): boolean =>
  apiId === "GROUP_AUTHORIZATION_FAILED" ||
  apiId === "INVALID_SESSION_TIMEOUT" ||
  apiId === "INCONSISTENT_GROUP_PROTOCOL" ||
  apiId === "INVALID_GROUP_ID" ||
  apiId === "GROUP_MAX_SIZE_REACHED";
const isElsewhere = (apiId: string | undefined): boolean =>
  apiId === "NOT_COORDINATOR" || apiId === "COORDINATOR_NOT_AVAILABLE";

/** With members of Kafka's newer protocol, which lets those of the classic one in, the broker shares the partitions: not by what we say. */
const othersRule = new DriverError("BUS_CONFLICT", "kafka: the broker shares the group's partitions by itself");

/**
 * A member of a classic group. Rounds go by while it works: it claims what it holds, and gives up what is to move in its own time,
 * by another round.
 */
export class Membership {
  readonly #options: MembershipOptions;
  #session: SessionClock;
  #memberId = "";
  /** Lost by our clock alone: to the coordinator it may still be a member, whose session others would wait for. */
  #formerId = "";
  /** When it asked last whether a round is under way, and there was none. */
  #quietAt = 0;
  /** And when there was one. */
  #roundAt = 0;
  #generation = -1;
  /** Of the last shares: what the claims are worth. */
  #claimed = 0;
  #wantsRound = true;
  #wake: (() => void) | undefined;
  #ended = false;
  #joining = false;
  #leaving: Promise<void> | undefined;
  #running: Promise<void> | undefined;
  #watch: Disposable | undefined;

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#session = new SessionClock(options.sessionTimeoutMs, options.clock.ticks());
  }

  get memberId(): string {
    return this.#memberId;
  }

  get generation(): number {
    return this.#generation;
  }

  /** A round is under way: another generation may be in force already. */
  get isJoining(): boolean {
    return this.#joining;
  }

  /** A handler may be started, a copy or a letter written. */
  get mayBegin(): boolean {
    return this.#memberId !== "" && this.#session.mayBegin(this.#options.clock.ticks());
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Something was given up, or there are other lanes. */
  round(): void {
    this.#wantsRound = true;
    this.#wake?.();
  }

  /** What the coordinator said to a request of this member that was sent then, a commit for example. */
  heard(sentAt: number, apiId: string | undefined): void {
    if (apiId === undefined) {
      if (this.#joining || this.#wantsRound) this.#confirmInRound(sentAt);
      else this.#session.answered(sentAt);
    } else if (apiId === "REBALANCE_IN_PROGRESS") this.round();
    else if (isLoss(apiId)) this.#lose();
  }

  async #run(): Promise<void> {
    const { clock, heartbeatMs } = this.#options;
    let failures = 0;
    while (!this.#ended) {
      try {
        if (this.#wantsRound) await this.#join();
        else await this.#beat();
        failures = 0;
        if (!this.#wantsRound) await this.#pause(heartbeatMs);
      } catch (error) {
        if (this.#ended) return;
        const apiId = apiIdOf(error);
        if (isLoss(apiId)) this.#lose();
        else if (isRefusal(apiId) || error === othersRule) {
          this.#ended = true;
          this.#options.refused?.(error);
          return;
        } else if (apiId === "REBALANCE_IN_PROGRESS") this.#wantsRound = true;
        else {
          if (isElsewhere(apiId) || error instanceof NoAnswer) this.#options.coordinatorMoved();
          failures += 1;
          const longest = Math.min(longestPauseMs, heartbeatMs, shortestPauseMs * 2 ** failures);
          await this.#pause(longest * (0.5 + clock.random() / 2));
        }
      }
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(ms, resolve);
      this.#wake = () => {
        timer[Symbol.dispose]();
        resolve();
      };
    });
  }

  async #beat(): Promise<void> {
    const { clock, group, module, requestTimeoutMs } = this.#options;
    const link = await this.#options.link("command");
    const sentAt = clock.ticks();
    try {
      await link.ask(module.heartbeatV4, [group, this.#generation, this.#memberId, null], requestTimeoutMs);
    } catch (error) {
      if (apiIdOf(error) !== "REBALANCE_IN_PROGRESS") throw error;
      this.#wantsRound = true; // of a member all the same
      this.#roundAt = sentAt;
      return this.#confirmInRound(sentAt);
    }
    this.#quietAt = sentAt;
    this.#confirm(sentAt);
  }

  async #join(): Promise<void> {
    const { clock, group, module, requestTimeoutMs } = this.#options;
    this.#wantsRound = false;
    this.#joining = true;
    const beating = this.#beatMeanwhile();
    try {
      const link = await this.#options.link("join");
      const within = this.#rebalanceTimeoutMs + requestTimeoutMs;
      const joined = await this.#joinWith(link, within);
      this.#memberId = joined.memberId;
      this.#generation = joined.generationId;
      this.#quietAt = Math.max(this.#quietAt, this.#roundAt); // that one ended later
      const sentAt = clock.ticks();
      const { assignment } = await link.ask(
        module.syncGroupV5,
        [group, this.#generation, this.#memberId, null, "consumer", protocol, this.#assignments(joined)],
        within,
      );
      this.#quietAt = Math.max(this.#quietAt, sentAt);
      this.#confirm(sentAt);
      this.#claimed = this.#generation;
      const text = module.decodeConsumerProtocolAssignment(assignment).userData.toString();
      if (text === "") throw othersRule;
      const { owners, targets } = JSON.parse(text) as Record<"owners" | "targets", [string, string][]>;
      const shares = { owners: new Map(owners), targets: new Map(targets) };
      this.#options.shared(partOf(shares, this.#memberId, this.#options.held()), shares);
    } catch (error) {
      this.#wantsRound = true;
      throw error;
    } finally {
      this.#joining = false;
      beating[Symbol.dispose]();
      this.#watchSession();
    }
  }

  /**
   * Who waits for a round is counted as silent until its request is there: a line that lost it must not let it outlive its session. Nor
   * may heartbeats, on another line, let it outlive a round that ends without it.
   */
  #beatMeanwhile(): Disposable {
    const { clock, heartbeatMs, group, module, requestTimeoutMs } = this.#options;
    let isOver = this.#memberId === "";
    let timer: Disposable | undefined;
    const beat = async (): Promise<void> => {
      const link = await this.#options.link("command");
      const sentAt = clock.ticks();
      const memberId = this.#memberId;
      try {
        await link.ask(module.heartbeatV4, [group, this.#generation, this.#memberId, null], requestTimeoutMs);
      } catch (error) {
        // a round that ended without it: its request to join may be lost, and tell nothing
        if (apiIdOf(error) === "UNKNOWN_MEMBER_ID" && memberId === this.#memberId) return this.#lose();
        // what else it is, as another generation, the join tells
        if (apiIdOf(error) !== "REBALANCE_IN_PROGRESS" || memberId !== this.#memberId) return;
        this.#roundAt = Math.max(this.#roundAt, sentAt);
        return this.#confirmInRound(sentAt);
      }
      if (memberId === "" || memberId !== this.#memberId) return;
      // joined, and its share not fetched: who does not come for it is out as well, so long after the round
      if (this.#generation !== this.#claimed) return this.#confirmInRound(sentAt);
      this.#quietAt = Math.max(this.#quietAt, sentAt);
      this.#confirm(sentAt);
    };
    const later = (): void => {
      if (isOver) return;
      timer = clock.after(
        heartbeatMs,
        () =>
          void beat()
            .catch(() => undefined)
            .then(later),
      ); // no line: nothing is confirmed
    };
    later();
    return {
      [Symbol.dispose]: () => {
        isOver = true;
        timer?.[Symbol.dispose]();
      },
    };
  }

  /** More than the session: who is silent holds up a round for its session, and one that waits must not be taken for that. */
  get #rebalanceTimeoutMs(): number {
    return this.#options.sessionTimeoutMs * 1.5;
  }

  async #joinWith(link: Link, withinMs: number): Promise<JoinAnswer> {
    const { group, module, sessionTimeoutMs } = this.#options;
    const rebalanceTimeoutMs = this.#rebalanceTimeoutMs;
    const { topics, member, stops } = this.#options.about();
    const own: UserData = { claims: [...this.#options.held()], generation: this.#claimed, stops };
    const userData = Buffer.from(JSON.stringify({ ...own, member }));
    const metadata = module.encodeConsumerProtocolSubscription({ version: 1, topics, userData, ownedPartitions: [] });
    const ask = (memberId: string): Promise<JoinAnswer> =>
      link.ask(
        module.joinGroupV9,
        [group, sessionTimeoutMs, rebalanceTimeoutMs, memberId, null, "consumer", [{ name: protocol, metadata }], ""],
        withinMs,
      );
    const former = this.#formerId;
    try {
      const answer = await ask(this.#memberId === "" ? former : this.#memberId);
      this.#formerId = "";
      return answer;
    } catch (error) {
      // any other answer, or none, says nothing of it
      if (former !== "" && isLoss(apiIdOf(error))) {
        this.#formerId = "";
        return await this.#joinWith(link, withinMs);
      }
      if (apiIdOf(error) !== "MEMBER_ID_REQUIRED") throw error;
      const { response } = error as { readonly response?: { readonly memberId?: string } };
      this.#formerId = response?.memberId ?? "";
      return await this.#joinWith(link, withinMs);
    }
  }

  /** Of all members, if this one leads. */
  #assignments({ leader, memberId, members }: JoinAnswer): readonly { memberId: string; assignment: Buffer }[] {
    if (leader !== memberId) return [];
    const { module } = this.#options;
    const claimants = members.map(({ memberId: id, metadata }): Claimant => {
      const { userData } = module.decodeConsumerProtocolSubscription(metadata ?? Buffer.alloc(0));
      const { claims, generation, stops } = JSON.parse(userData.toString()) as UserData;
      return { id, claims, generation, stops };
    });
    const { owners, targets } = share(this.#options.lanes(), claimants, (...ref) => this.#options.refOf(...ref));
    const userData = Buffer.from(JSON.stringify({ owners: [...owners], targets: [...targets] }));
    const assignment = module.encodeConsumerProtocolAssignment({ version: 0, assignedPartitions: [], userData });
    return members.map((each) => ({ memberId: each.memberId, assignment }));
  }

  #confirm(sentAt: number): void {
    this.#session.answered(sentAt);
    this.#watchSession();
  }

  /** Who does not come to a round is out when that ends. It began after there was none. */
  #confirmInRound(sentAt: number): void {
    const { sessionTimeoutMs } = this.#options;
    const endsAt = this.#quietAt + this.#rebalanceTimeoutMs - Math.min(lateMs, sessionTimeoutMs / lateShare);
    this.#confirm(Math.min(sentAt, endsAt - sessionTimeoutMs));
  }

  /** By our own clock, and so before the coordinator's. */
  #watchSession(): void {
    const { clock } = this.#options;
    this.#watch?.[Symbol.dispose]();
    if (this.#memberId === "" || this.#ended) return;
    this.#watch = clock.after(Math.max(1, this.#session.endsAt - clock.ticks()), () => {
      if (this.#session.isOver(clock.ticks())) {
        const former = this.#memberId;
        this.#lose();
        this.#formerId = former;
      } else this.#watchSession();
    });
  }

  #lose(): void {
    this.#watch?.[Symbol.dispose]();
    this.#memberId = "";
    this.#generation = -1;
    this.#claimed = 0;
    if (!this.#ended) this.#options.lost();
    this.round();
  }

  /** Nothing may be held any more, or it is handed to others as it stands. */
  leave(): Promise<void> {
    return (this.#leaving ??= this.#leave());
  }

  async #leave(): Promise<void> {
    this.#ended = true;
    this.#watch?.[Symbol.dispose]();
    this.#wake?.();
    const { group, module, requestTimeoutMs } = this.#options;
    const memberId = this.#memberId || this.#formerId; // of a join under way the broker knows the former one
    if (memberId !== "") {
      const link = await this.#options.link("command");
      await link
        .ask(module.leaveGroupV5, [group, [{ memberId, reason: null }]], requestTimeoutMs)
        .catch(() => undefined); // its session ends all the same
    }
  }

  /** When its loop is over, which may be with the connections only. */
  get over(): Promise<void> {
    return this.#running ?? Promise.resolve();
  }
}
