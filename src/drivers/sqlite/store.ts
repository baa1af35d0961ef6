import type { Clock } from "../../clock.ts";
import type { ConnectContext, OutMessage } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { Append } from "./append.ts";
import { Alarm } from "../../internal/rows/alarm.ts";
import { classify, isBusy } from "./classify.ts";
import { ClaimStore } from "./claim-store.ts";
import type { Database } from "./database.ts";
import { GroupStore } from "./group-store.ts";
import { HeldStore } from "./held-store.ts";
import { LetterStore } from "./letter-store.ts";
import { Members } from "./members.ts";
import type { ResolvedOptions } from "./options.ts";
import { OwnStore } from "./own-store.ts";
import { Retention } from "./retention.ts";
import { Seating } from "./seating.ts";
import { SpecWaiters } from "./spec-waiters.ts";
import { Streams } from "./streams.ts";
import { Turn } from "./turn.ts";

/** How long what a full stream refused waits for its next try. */
const fullAgainMs = 1_000;

/** A group consumption, as the store sees it. */
export interface GroupMember {
  readonly group: number;
  readonly member: number;
  /** Something was published, or came back. */
  wake(): void;
  /** The group's definition moved. */
  changed(): void;
  look(): void;
  tick(): void;
  lostSeat(member: number, version: number): void;
  /** Says where the group stands, what others have handled included. */
  announce(): void;
  end(error: unknown): void;
}

/** Which of the file system's reports are of our own writes. */
export interface WakeUpHints {
  /** We have committed; perhaps nothing. */
  committed(): void;
  /** We have certainly written. */
  wrote(): void;
}

/** Whatever else wants to know that something was committed, by us or by others. */
export interface Watcher {
  look(): void;
  end(error: unknown): void;
}

/** The durable file and everything that works on it, for one connection. */
export class Store {
  readonly database: Database;
  readonly clock: Clock;
  /** `Member.id`. */
  readonly self: string;
  readonly turn: Turn;
  readonly streams: Streams;
  readonly groups: GroupStore;
  readonly members: Members;
  readonly seating: Seating;
  readonly claims: ClaimStore;
  readonly held: HeldStore;
  readonly own: OwnStore;
  readonly letters: LetterStore;
  readonly retention: Retention;
  readonly append: Append;
  readonly groupMembers: Set<GroupMember> = new Set();
  readonly watchers: Set<Watcher> = new Set();
  /** The file could not be read or written, and was not since. */
  troubled = false;
  readonly #context: ConnectContext;
  readonly #due: Alarm;
  readonly #delayed: Alarm;
  readonly #wakeUp: WakeUpHints;
  /** `data_version` at the last look, and at the last transaction. */
  #version: number;
  #checked = -1;
  /** Nobody else has written since our last transaction, and that was not undone. */
  #alone = false;
  #undone = false;
  #relieving = false;
  #routing: number;
  readonly #specs: SpecWaiters;
  #timers = new Set<Disposable>();

  constructor(database: Database, context: ConnectContext, options: ResolvedOptions, wakeUp: WakeUpHints) {
    this.database = database;
    this.clock = context.clock;
    this.self = context.member.id;
    this.#context = context;
    this.turn = new Turn(database, context.clock, options.busyTimeoutMs, {
      entered: () => this.#entered(),
      blocked: () => context.status({ type: "blocked" }),
      unblocked: () => context.status({ type: "unblocked" }),
      trouble: (error) => this.trouble(error),
      mark: () => void this.members.renew(this.seating.process),
      left: (committed) => this.#left(committed),
    });
    this.streams = new Streams(database);
    this.groups = new GroupStore(database, this.streams);
    this.members = new Members(database, context.clock, this.groups, context.member, options.leaseMs);
    this.seating = new Seating(this);
    this.#specs = new SpecWaiters(this.members);
    this.claims = new ClaimStore(database);
    this.held = new HeldStore(database);
    this.own = new OwnStore(database);
    this.letters = new LetterStore(database);
    this.retention = new Retention(database, this.streams, (group) => this.#changed(group));
    this.append = new Append(database, context.clock, this.streams, this.retention, {
      alone: () => this.#alone,
      read: () => this.groupMembers.size + this.watchers.size > 0,
      appended: (delayed) => this.#appended(delayed),
      full: () => this.#relieve(),
    });
    this.#version = database.dataVersion();
    this.#routing = this.streams.routing();
    this.#due = new Alarm(context.clock, () => this.guarded(() => this.#lookAtGroups()));
    this.#delayed = new Alarm(context.clock, () => this.#moveDelayed());
    this.#wakeUp = wakeUp;
    this.#awaitDelayed();
  }

  publish(batch: readonly OutMessage[]): void {
    for (const message of batch) this.append.push(message);
    this.turn.add(this.append, "write");
    for (const member of this.groupMembers) member.wake();
  }

  joined(member: GroupMember): void {
    this.groupMembers.add(member);
    member.announce();
    member.changed();
  }

  left(member: GroupMember): void {
    this.groupMembers.delete(member);
  }

  /** Calls back unless the store is closed by then. */
  later(ms: number, callback: () => void): void {
    const timer = this.clock.after(ms, () => {
      this.#timers.delete(timer);
      callback();
    });
    this.#timers.add(timer);
  }

  /** Something of a group may be claimed from then on, by the wall clock. */
  dueAt(time: number): void {
    this.#due.set(time);
  }

  /** Something of a group came back, and may be claimed now. */
  returned(group: number): void {
    for (const member of this.groupMembers) if (member.group === group) member.wake();
  }

  /** An error of the file itself; others concern only those who asked. Nothing can be expected of a corrupt one. */
  trouble(error: unknown): void {
    const { code } = classify(error);
    if (code !== "BUS_CONNECTION" && code !== "BUS_CORRUPT" && code !== "BUS_AUTHENTICATION") return;
    if (!this.troubled) this.#context.status({ type: "disconnected", error });
    this.troubled = true;
    if (code === "BUS_CORRUPT") this.end(error);
  }

  /** Ends every consumption. */
  end(error: unknown): void {
    for (const member of [...this.groupMembers]) member.end(error);
    for (const watcher of [...this.watchers]) watcher.end(error);
  }

  /** Each poll: what is due by time, and what others committed. */
  poll(): void {
    this.#delayed.check();
    this.#due.check();
    for (const member of this.groupMembers) member.tick();
    this.lookForOthers();
  }

  /** Another process may have committed. */
  lookForOthers(): void {
    const version = this.database.dataVersion();
    if (version === this.#version) return;
    this.look();
    this.#version = version; // not before: a look that failed is to be repeated
  }

  look(): void {
    this.seating.check();
    const routing = this.streams.routing();
    if (routing !== this.#routing) {
      this.#routing = routing;
      this.#context.changed();
    }
    this.#awaitDelayed();
    this.#lookAtGroups();
    this.#lookAtWatchers();
    this.specKnown();
  }

  /** We changed the routing ourselves: the core knows. */
  routed(): void {
    this.#routing = this.streams.routing();
  }

  /** Resolves when every member has seen this version of the group's definition, or is gone. */
  allKnow(group: number, version: number): Promise<void> {
    this.#changed(group);
    return this.#specs.known(group, version);
  }

  /** A member may have seen a newer definition. */
  specKnown(): void {
    this.#specs.look();
  }

  /** A look that takes no lock; should another process just recover the file, a little later. */
  async read<Result>(body: () => Result): Promise<Result> {
    for (;;) {
      try {
        return body();
      } catch (error) {
        if (!isBusy(error)) throw error;
      }
      await new Promise<void>((resolve) => void this.clock.after(2, resolve));
    }
  }

  /** Resolves when the promise does, or the signal aborts; never rejects. */
  unlessAborted(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
    if (signal.aborted) {
      promise.catch(() => undefined);
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const done = (): void => {
        signal.removeEventListener("abort", done);
        resolve();
      };
      signal.addEventListener("abort", done, { once: true });
      promise.catch(() => undefined).finally(done);
    });
  }

  close(reason?: Error): void {
    this.turn.close(reason);
    this.#due.clear();
    this.#delayed.clear();
    for (const timer of this.#timers) timer[Symbol.dispose]();
    this.#timers.clear();
    this.#specs.close();
    this.seating.close();
  }

  /** What goes wrong by itself is nobody's to catch: a lock is waited for until the next look, the rest is said. */
  guarded(look: () => void): void {
    try {
      look();
    } catch (error) {
      if (!isBusy(error)) this.trouble(error);
    }
  }

  #changed(group: number): void {
    for (const member of this.groupMembers) if (member.group === group) member.changed();
  }

  #lookAtGroups(): void {
    for (const member of this.groupMembers) member.look();
  }

  #awaitDelayed(): void {
    const next = this.append.delayed.next();
    if (next !== undefined) this.#delayed.set(next);
  }

  #left(committed: boolean): void {
    this.streams.left(committed);
    this.#undone = !committed;
    if (!committed) return;
    this.#wakeUp.committed();
    if (!this.troubled) return;
    this.troubled = false;
    this.#context.status({ type: "connected" });
  }

  /** What is written to a file that was deleted would never be found: it is refused. */
  replaced(): DriverError | undefined {
    if (!this.database.replaced()) return undefined;
    return new DriverError("BUS_CONNECTION", `sqlite: ${this.database.path} was deleted or replaced`, {
      retryable: true,
    });
  }

  /** Our row among the processes, made or renewed. */
  async renew(): Promise<void> {
    await this.seating.renew();
    this.#wakeUp.wrote();
    for (const member of this.groupMembers) member.announce();
  }

  #entered(): void {
    const replaced = this.replaced();
    if (replaced !== undefined) throw replaced;
    const version = this.database.dataVersion();
    this.#alone = version === this.#checked && !this.#undone;
    this.streams.entered(this.#alone);
    if (version === this.#checked) return;
    this.seating.check();
    this.#checked = version;
  }

  /** After each commit that published or moved something. */
  #appended(delayed: boolean): void {
    if (delayed) this.#awaitDelayed();
    this.#lookAtWatchers();
  }

  #lookAtWatchers(): void {
    for (const watcher of this.watchers) watcher.look();
  }

  #relieve(): void {
    if (this.#relieving) return;
    this.#relieving = true;
    this.turn
      .do(() => this.retention.relieve(this.clock.now()))
      .catch(() => undefined) // not even that: somebody else has to make room
      .finally(() => (this.#relieving = false));
  }

  #moveDelayed(): void {
    const later = (): void => this.#delayed.set(this.clock.now() + fullAgainMs);
    this.turn
      .do(() => this.append.moveDue(this.clock.now()))
      .then((all) => {
        if (all) this.#awaitDelayed();
        else later();
        this.#lookAtWatchers();
      })
      .catch(later);
    for (const member of this.groupMembers) member.wake();
  }
}
