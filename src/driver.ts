/**
 * What a driver does, and all that it does: the smallest contract that seven brokers can meet natively and fast. The core
 * owns policy (ids, encoding, retry, attempts, order, dedupe, dead-lettering, deadlines, wrapping of errors); a driver never
 * retries a handler, logs, wraps an error, invents an id or reads the environment. It may use `internal/`, never another
 * driver. docs/design.md holds each method against each of the seven brokers: by which native commands, and what a crash
 * after each step leaves behind. docs/writing-a-driver.md says how to start.
 */
import type { Clock } from "./clock.ts";

export type { Clock } from "./clock.ts";

/**
 * What a driver really does; runtime guards, the suite's skips and the table in the docs all read this. Plain data. What it
 * declares away it also refuses itself, with BUS_UNSUPPORTED, and a connection may promise less, never more.
 */
export interface Capabilities {
  /** Survives the end of every process. */
  readonly durable: boolean;
  /** Named groups that share the work and keep what nobody has handled. */
  readonly groups: boolean;
  /** A new group may start in the past. */
  readonly replay: boolean;
  /** Per key across a group's members. */
  readonly order: boolean;
  /** Whether a failed publish fails the later ones of its key, or they may overtake. */
  readonly publishOrder: "prefix" | "best-effort";
  /** Who sends again after a failed try: the core, or the client library under one overall deadline. */
  readonly publishRetry: "core" | "driver";
  /** A failed message stays hidden in its place, or a copy comes back by the group's queue. */
  readonly retry: "in-place" | "copy";
  /** `OutMessage.notBefore`: honoured by the driver, moved by the core through the state store, or refused. */
  readonly delay: "native" | "moved" | "none";
  /** Listing and cancelling what was published for later: by the driver, in the attached state store, or refused. */
  readonly schedules: "native" | "attached" | "none";
  /** Key-value, and with it halted keys. */
  readonly state: "native" | "attached" | "none";
  /** `client`: a group reads the whole stream; counts of waiting are upper bounds. */
  readonly filter: "native" | "client";
  /** How long a second send of one `brokerId` is recognised; 0: never. */
  readonly dedupeWindowMs: number;
  /** Where a late settlement of a former owner changes nothing: in all groups, in ordered ones, or nowhere for certain. */
  readonly fencing: "all" | "ordered" | "none";
  /** `abrupt`: at a rebalance the old owner's handler may still run. */
  readonly handover: "drained" | "abrupt";
  /** `said`: that messages were lost is told, not how many. */
  readonly losses: "counted" | "said";
  /** A request that nobody listens to fails at once. */
  readonly noResponder: boolean;
  /** Publishing inside a transaction of the user's database. */
  readonly transactions: boolean;
  /** Delivers a higher priority first. The attribute travels either way. */
  readonly priorities: boolean;
  /** The broker takes a message back after this, whatever is renewed. */
  readonly maxHoldMs: number | undefined;
  /** What the broker takes at most, headers included; the bus's own limit is lower by default. */
  readonly maxMessageBytes: number | undefined;
}

/** One process in a group, as the broker knows it. */
export interface Member {
  readonly id: string;
  readonly name: string;
  readonly host: string;
  readonly pid: number;
  readonly since: Date;
  readonly lastSeen: Date;
  readonly partitions: readonly number[] | undefined;
}

/** A durable log and the topics that it captures. */
export interface StreamOptions {
  /** Letters, digits, `-` and `_`. */
  readonly name: string;
  /** Patterns; of two streams that match a topic the more specific one captures it. */
  readonly topics: readonly string[];
  /** What is older goes, handled or not; the latter is said. @default 604_800_000 (7 days) */
  readonly maxAgeMs?: number | undefined;
  /** When it is reached, `whenFull` says what follows. @default 1_073_741_824 (1 GiB) */
  readonly maxBytes?: number | undefined;
  /** The same by count. @default unlimited */
  readonly maxMessages?: number | undefined;
  /** `wait` is memory's only. Dropping what a group has not handled is said (`messages-lost`). @default "reject" */
  readonly whenFull?: "reject" | "drop-oldest" | "wait" | undefined;
  /** A group that had no member for this long holds nothing back any more. @default 604_800_000 (7 days) */
  readonly idleGroupMs?: number | undefined;
  /** Fixed when made. @default 16 */
  readonly partitions?: number | undefined;
  /** Copies kept by a clustered broker; refused above 1 where there is no cluster. @default 1 */
  readonly replicas?: number | undefined;
}

export interface StreamInfo {
  readonly name: string;
  readonly topics: readonly string[];
  readonly partitions: number;
  readonly messages: number;
  readonly bytes: number | undefined;
  readonly first: Date | undefined;
  readonly last: Date | undefined;
  readonly groups: readonly string[];
}

export interface Driver {
  readonly name: string;
  /** What it promises; `DriverConnection.capabilities` narrows it where the server's version or configuration decides. */
  readonly capabilities: Capabilities;
  /** One try; the core tries again. A rejected one leaves nothing open. */
  connect(context: ConnectContext): Promise<DriverConnection>;
  /** By code, never by message text where a code exists. `code` is a `BusErrorCode`; what it doesn't know is BUS_SERVER. */
  classify(error: unknown): { readonly code: string; readonly retryable: boolean };
}

export interface ConnectContext {
  readonly name: string;
  readonly prefix: string;
  readonly member: Member;
  readonly manage: "create" | "verify" | "off";
  readonly clock: Clock;
  readonly signal: AbortSignal;
  status(status: {
    readonly type: "connected" | "disconnected" | "blocked" | "unblocked";
    readonly error?: unknown;
  }): void;
  /** The routing table at the broker changed (another process declared a stream). */
  changed(): void;
  /** Logged for the operator: what works, and may lose or stop one day. No secret, no payload. */
  warn(message: string, fields?: Readonly<Record<string, string | number | boolean>>): void;
}

export interface DriverConnection {
  /** The escape hatch: what it is stands in the driver's page. */
  readonly client: unknown;
  readonly capabilities: Capabilities;
  /** The user asked for speed, and messages never leave the process: `OutMessage.value` is filled, not `body`, and comes back as `InMessage.value`. */
  readonly unencoded: boolean;
  /**
   * Idempotent; keeps the routing table (topic pattern → stream) and the layout version at the broker. Rejects what can't be
   * changed. `dryRun`: only says what it would do.
   */
  ensureStream(stream: StreamOptions, dryRun?: boolean): Promise<"created" | "unchanged" | "updated">;
  /**
   * The group's definition lives at the broker and changes by compare-and-set, so two members that grow it at once both win.
   * Patterns only grow. Resolves when every active member has the grown definition or lost its ownership; until then nothing
   * that it adds may be skipped by one who does not know it. Rejects when `order` differs from what is stored.
   */
  ensureGroup(group: GroupSpec): Promise<GroupSpec>;
  /**
   * Takes what was published in one turn of the event loop; while a batch is on its way the core collects the next. Each message
   * completes by itself, so one slow partition delays nobody. Keeps the order of calls per key. Everything completes: on a
   * lost connection what was not answered is `unknown`. Completions may come before `send` returns. Does not throw.
   */
  send(batch: readonly OutMessage[]): void;
  /** Resolves once the start is fixed: whatever is published from then on will be delivered. */
  consume(source: Source, sink: Sink, window: Window): Promise<Consumption>;
  /** A round trip that proves that messages could flow, not that a socket is open; what the broker says of itself. */
  ping(): Promise<Readonly<Record<string, string | number>>>;
  /** Graceful; when the signal aborts, destroys what is open and resolves. Idempotent. */
  close(signal: AbortSignal): Promise<void>;
  readonly admin: DriverAdmin;
  readonly state: StateStore | undefined;
}

/** Where a message goes. A group's queue is its private lane: sends to it, copies for retry, replays. */
export type Address =
  | { readonly kind: "topic"; readonly stream: string; readonly topic: string }
  | { readonly kind: "queue"; readonly group: string; readonly topic: string } // the group need not exist yet
  | { readonly kind: "direct"; readonly topic: string } // requests and at-most-once: in no stream; where it must be written, gone when read or expired
  | { readonly kind: "inbox"; readonly address: string }; // as minted by that process's driver

/** Made by the core; the driver calls exactly one of `stored` and `failed`, once. */
export interface OutMessage {
  readonly to: Address;
  /** The event's, for ever. */
  readonly id: string;
  /** For the broker's dedupe: differs for a retry's copy or a replay, or it would be swallowed. */
  readonly brokerId: string;
  readonly key: string | undefined;
  /** Kafka's murmur2 of the key (0 ≤ hash < 2^31; chosen in turn without one): the partition is this modulo the stream's partitions. */
  readonly hash: number;
  /** The inbox that waits for an answer; set on requests only, which is what tells them from at-most-once publishes. */
  readonly replyTo: string | undefined;
  /** Ms since the epoch. */
  readonly notBefore: number | undefined;
  readonly expiresAt: number | undefined;
  readonly durable: boolean;
  /** 0 low, 1 normal, 2 high, 3 critical. */
  readonly priority: number;
  /** Few: the body is a whole CloudEvent by default. */
  readonly headers: Headers;
  readonly body: Uint8Array;
  /** Instead of `body` where `DriverConnection.unencoded`; else undefined. Never changed by anyone after sending. */
  readonly value: unknown;
  stored(position?: string, duplicate?: boolean): void;
  failed(stored: "no" | "unknown", error: unknown): void;
}
export type Headers = readonly (readonly [name: string, value: string])[];

export interface GroupSpec {
  readonly group: string;
  /** Normalised by the core. A pattern is read from every stream that overlaps it; a stream added later starts at its oldest. */
  readonly reads: readonly { readonly stream: string; readonly patterns: readonly string[] }[];
  /** Where it starts when it is new; ignored when it exists. */
  readonly from: StartAt;
  /** Undefined: as stored, and for a new one "group" where the driver can, else "process". Only "group" concerns the driver. */
  readonly order: "group" | "process" | "none" | undefined;
  /** Shares load among those connected now and vanishes with its last member. */
  readonly live: boolean;
}
export type StartAt =
  | { readonly at: "oldest" | "newest" }
  | { readonly time: number }
  | { readonly positions: Readonly<Record<string, string>> };

/** `resume`: partition → position, where to go on after a loss: everything up to and including it was settled. */
export type Source =
  | { readonly kind: "group"; readonly group: string; readonly resume: ReadonlyMap<string, string> | undefined } // both lanes
  | {
      readonly kind: "tail";
      readonly stream: string;
      readonly from: StartAt;
      readonly resume: ReadonlyMap<string, string> | undefined;
    } // one per process and stream, fanned out by the core
  | { readonly kind: "direct"; readonly group: string | undefined } // with a group: each message goes to one of its consumers
  | { readonly kind: "inbox" };

/** Most that is delivered and unsettled. What is under way may still arrive; bytes may be passed by one message; 0 pauses. */
export interface Window {
  readonly messages: number;
  readonly bytes: number;
}

/** The core's side of a consumption. None of it throws; all of it may be called from within a driver's own turn. */
export interface Sink {
  /** In order per key, within a lane, where the group is ordered. */
  deliver(messages: readonly InMessage[]): void;
  /** No longer ours: handlers are aborted, settlements of these are ignored. */
  revoked(messages: readonly InMessage[] | { readonly partition: string }): void;
  /** Everything of the group up to and including this is settled (ack floor, committed offset, cursor); kept for `resume`. */
  floor(partition: string, position: string): void;
  /** The group's definition grew. */
  spec(spec: GroupSpec): void;
  /** The broker dropped what was not handled (trimmed, expired): said, never silent. */
  lost(count: number | undefined, reason: string): void;
  /** Consumption can't go on; the core opens it again, with backoff and `resume`. `kept`: what is unsettled is still ours. */
  ended(error: unknown, kept: boolean): void;
}

/** The core gives the identical object back, so a driver keeps its handles (tag, sequence, row) in private fields. */
export interface InMessage {
  readonly topic: string;
  readonly body: Uint8Array;
  /** `OutMessage.value` of an unencoded connection. */
  readonly value: unknown;
  /** Parsed on first use; what `record` and `settle` added wins. */
  header(name: string): string | undefined;
  /** Of what `record` and `settle` added, and of nothing else: no publisher can forge it. */
  note(name: string): string | undefined;
  /** All of them, those that `record` and `settle` added included: a letter keeps what is needed to read the body again. */
  headers(): Headers;
  readonly key: string | undefined;
  /** Of the group's or tail's source, unique over its streams and lanes: `stream/3`. */
  readonly partition: string | undefined;
  readonly position: string | undefined;
  readonly replyTo: string | undefined;
  readonly lane: "stream" | "queue" | "direct" | "inbox";
  /**
   * Since it was published or last settled for retry. 1: certainly handed to no handler yet. 2 or more: perhaps. Where the
   * broker doesn't count, the driver stores how far it hands out before it does (SQL: the lease row; Kafka: commit metadata,
   * one batch ahead). 0 only where nothing is durable.
   */
  readonly deliveries: number;
  /** Handler runs recorded by `record` and `settle`: exact. */
  readonly attempts: number;
  /** Recorded: not to be handled before. The message is delivered at once all the same, first of its key. */
  readonly notBefore: number | undefined;
}

export interface Consumption {
  /** An inbox's, unguessable. */
  readonly address: string | undefined;
  /** Of one partition, when given: a failing or hot key pauses its partition at a bound, not the whole. */
  window(window: Window, partition?: string): void;
  /**
   * What tails and direct sources want now; the driver may filter natively or deliver more. Resolves once it is in force.
   * `answers`: of a direct source, the requests (`OutMessage.replyTo`) that it answers. A request goes to those alone, anything
   * else on the direct lane by `patterns`, so that somebody who merely listens is not taken for a responder.
   */
  wants(patterns: readonly string[], answers: readonly string[]): Promise<void>;
  /** The hot path: handled. No promise; coalesced per turn. */
  ack(messages: readonly InMessage[]): void;
  /** Everything else, atomic where the broker can (`dead`: the letter is stored first, or the message stays unsettled). */
  settle(batch: readonly Settlement[]): Promise<readonly ("done" | "stale" | "unknown")[]>;
  /**
   * Durable notes beside messages that stay delivered and renewed: "about to run" for suspects (`deliveries` above 1; the core
   * runs them one at a time, so a handler that kills its process pays with its own attempts and what was merely prefetched
   * with none), and attempts, due time and handlers done of a retry that keeps its place in an ordered group. After a
   * takeover they come back with the message. `stale`: ownership was lost meanwhile, do not run.
   */
  record(notes: readonly Note[]): Promise<readonly ("done" | "stale")[]>;
  /** Resolves when every ack given so far is at the broker. */
  flush(): Promise<void>;
  /** No delivery after it resolves; what is delivered stays ours. */
  stop(): Promise<void>;
  /** Flushes, hands back what is unsettled, uncounted where the broker can and noted where it can't, leaves the group. */
  close(signal: AbortSignal): Promise<void>;
}

export interface Note {
  readonly message: InMessage;
  readonly attempts: number;
  readonly notBefore: number | undefined;
  readonly headers: Headers;
}

export type Settlement =
  | {
      readonly how: "retry";
      readonly message: InMessage;
      readonly delayMs: number;
      readonly attempts: number;
      readonly headers: Headers;
    } // unordered groups only
  | { readonly how: "release"; readonly message: InMessage; readonly delayMs: number; readonly headers: Headers } // for another member: one that has not released it yet may have it at once, the others after the delay; the headers count the hops
  | { readonly how: "dead"; readonly message: InMessage; readonly letter: StoredMessage }; // one letter per group and event id, whatever copies there are

/** Native administration; what a broker lacks is absent here and `BUS_UNSUPPORTED` above. */
export interface DriverAdmin {
  streams(): Promise<readonly StreamInfo[]>;
  positions(stream: string): Promise<Readonly<Record<string, string>>>;
  /** Never what a group has not handled. How many went. */
  trim?(stream: string, before: StartAt): Promise<number>;
  deleteStream(stream: string): Promise<boolean>;
  groups(): Promise<readonly GroupState[]>;
  members(group: string): Promise<readonly Member[]>;
  /** The one way by which patterns shrink. */
  updateGroup(group: string, reads: GroupSpec["reads"]): Promise<void>;
  /** A crash in the middle leaves a durable mark, and the next call finishes it. Rejects with BUS_CONFLICT while members are active. */
  resetGroup?(group: string, to: StartAt): Promise<void>;
  /** Takes over now what dead members left, or what none has touched for `idleMs`. How many messages. */
  recoverGroup?(group: string, idleMs: number): Promise<number>;
  /** With its queue and its dead letters. */
  deleteGroup(group: string): Promise<boolean>;
  /** Dead letters, looked at without taking them: oldest first, those after the letter `after`. */
  letters(group: string | undefined, after: string | undefined, limit: number): Promise<readonly StoredMessage[]>;
  letter(id: string): Promise<StoredMessage | undefined>;
  countLetters(group: string | undefined): Promise<number>;
  /** Replay claims, sends, removes; discard claims and removes; of two operators one wins. Claiming again with the same token moves the lease, 0 gives it up. The ids that were claimed. */
  claimLetters(ids: readonly string[], token: string, leaseMs: number): Promise<readonly string[]>;
  /** Only those still claimed by `token`. The ids that went. */
  removeLetters(ids: readonly string[], token: string): Promise<readonly string[]>;
  /**
   * What `send` took with a `notBefore` and no reader can have yet, queues included: soonest first, those behind the position
   * `after`, fewer than `limit` only at the end. No retries, releases or direct messages.
   */
  scheduled?(after: string | undefined, limit: number): Promise<readonly ScheduledMessage[]>;
  /** Takes back, by the ids of their events. The ids of which something went, that no reader will ever have. */
  cancelScheduled?(ids: readonly string[]): Promise<readonly string[]>;
}

/** One that is published for later, without what it carries. */
export interface ScheduledMessage {
  /** The event's; in a state store the stored message's. */
  readonly id: string;
  readonly topic: string;
  readonly notBefore: number;
  /** Its place in the list, which stands though it went. */
  readonly position: string;
}

export interface GroupState {
  readonly spec: GroupSpec;
  readonly waiting: number;
  readonly inFlight: number;
  /** Of `waiting`, those with a due time in the future. */
  readonly scheduled: number;
  readonly oldestWaitingMs: number | undefined;
}

export interface StoredMessage {
  /** A letter's is `group/event id`, made by the core. */
  readonly id: string;
  readonly to: Address;
  readonly group: string | undefined;
  readonly topic: string;
  readonly key: string | undefined;
  readonly headers: Headers;
  readonly body: Uint8Array;
  /** Ms since the epoch. */
  readonly storedAt: number;
  readonly notBefore: number | undefined;
}

/** Native in memory, SQLite, PostgreSQL, Redis and NATS; attached for Kafka and RabbitMQ. */
export interface StateStore {
  get(bucket: string, key: string): Promise<{ readonly value: Uint8Array; readonly revision: string } | undefined>;
  /** `expect`: a revision, null for "must not exist", undefined for any. Undefined when it did not hold. */
  put(
    bucket: string,
    key: string,
    value: Uint8Array,
    options: { readonly ttlMs?: number | undefined; readonly expect?: string | null | undefined },
  ): Promise<string | undefined>;
  delete(bucket: string, key: string, expect?: string): Promise<boolean>;
  keys(bucket: string, prefix: string): AsyncIterable<string>;
  /** Current values first, then changes. */
  watch(
    bucket: string,
    prefix: string,
    signal: AbortSignal,
  ): AsyncIterable<{ readonly key: string; readonly revision: string; readonly value: Uint8Array | undefined }>;
  /** Messages due later; the core moves what is due under a lease, any process may. One whose id is there already takes its place, unless `due` has given that to somebody. */
  schedule(messages: readonly StoredMessage[]): Promise<void>;
  due(now: number, limit: number, leaseMs: number): Promise<readonly StoredMessage[]>;
  /** What `due` has given to nobody yet: soonest first, those behind the position `after`, fewer than `limit` only at the end. */
  scheduled(after: string | undefined, limit: number): Promise<readonly ScheduledMessage[]>;
  /**
   * The ids that went. `untaken`: only what `due` never gave to anybody, since that may be published by now; and for two minutes
   * at least `schedule` changes nothing with an id of these, in the same step, so that a second try brings none to life.
   */
  unschedule(ids: readonly string[], untaken?: boolean): Promise<readonly string[]>;
}
