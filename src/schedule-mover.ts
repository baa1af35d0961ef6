import type { Clock } from "./clock.ts";
import type { DriverConnection, OutMessage, StateStore, StoredMessage } from "./driver.ts";
import { murmur2 } from "./internal/murmur2.ts";
import { Alarm } from "./internal/rows/alarm.ts";
import { eventIdOf } from "./scheduled-id.ts";
import { header } from "./wire-names.ts";

/** When which stream was deleted: no bucket of a user's is called so. */
export const deletedBucket = ".scheduled-deleted";

export interface MoverContext {
  readonly clock: Clock;
  warn(message: string, fields?: Readonly<Record<string, string | number | boolean>>): void;
}

const atOnce = 256;
/** What is due after a night without a process is not read into memory at once, nor leased for longer than it takes to publish it. */
const mostInHand = 1_024;
/** Longer than a publish takes, or two processes would publish the same. */
const leaseMs = 30_000;
/** How long before the end of its lease the last try of a publish may begin. */
const lastTryMs = 10_000;
const againMs = 1_000;
/** What another process stored, and died over before it was due, is noticed after this. */
const pollMs = 5_000;
/** So that not all processes come in the same moment. */
const chanceMs = 20;
/** A store whose clock is behind ours gives nothing yet: asked again after this, then after twice as long, up to `againMs`. */
const behindMs = 50;

/**
 * Publishes what is due in a state store: taken under a lease, published under its own id, removed. Every process that has the
 * store does it. What one that died had taken is published by another when the lease is over, though it may be published already.
 */
export class ScheduleMover {
  readonly #connection: DriverConnection;
  readonly #store: StateStore;
  readonly #context: MoverContext;
  readonly #alarm: Alarm;
  readonly #timers = new Set<Disposable>();
  /** Taken, and on their way, by their ids in the store. */
  readonly #inHand = new Set<string>();
  /** Of these, what waits for its next try. */
  readonly #failed = new Set<string>();
  /** Published, or for nobody any more, and to be removed. */
  readonly #done = new Set<string>();
  #looking = false;
  #again = false;
  /** More may be due than it may have in hand. */
  #full = false;
  #removing = false;
  #closed = false;
  #turn = 0;
  #behind = behindMs;
  #warned = Number.NEGATIVE_INFINITY;
  #idle: (() => void)[] = [];

  constructor(connection: DriverConnection, store: StateStore, context: MoverContext) {
    this.#connection = connection;
    this.#store = store;
    this.#context = context;
    this.#alarm = new Alarm(context.clock, () => void this.#look());
    this.#poll();
  }

  /** Something is due then. */
  at(time: number): void {
    if (!this.#closed) this.#alarm.set(time + this.#context.clock.random() * chanceMs);
  }

  /** What it has in hand is still published and removed. */
  async close(signal: AbortSignal): Promise<void> {
    this.#closed = true;
    this.#alarm.clear();
    for (const timer of this.#timers) timer[Symbol.dispose]();
    for (const id of this.#failed) this.#inHand.delete(id); // another has it when its lease is over
    if (signal.aborted || this.#isIdle) return;
    await new Promise<void>((resolve) => {
      this.#idle.push(resolve);
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  get #isIdle(): boolean {
    return !this.#looking && !this.#removing && this.#inHand.size === 0;
  }

  #poll(): void {
    void this.#look();
    // never in step with the leases, or one process would take the same again and again before all others
    this.#after(pollMs * (0.6 + 0.4 * this.#context.clock.random()), () => this.#poll());
  }

  async #look(): Promise<void> {
    this.#again = true;
    if (this.#looking || this.#closed) return;
    this.#looking = true;
    const { clock } = this.#context;
    try {
      while (this.#again && !this.#closed) {
        this.#again = false;
        const room = Math.min(atOnce, mostInHand - this.#inHand.size);
        this.#full = room <= 0;
        if (this.#full) break; // looks again when there is room
        const until = clock.ticks() + leaseMs;
        const taken = await this.#store.due(clock.now(), room, leaseMs);
        if (taken.length > 0) this.#behind = behindMs;
        this.#publish(taken, until);
        if (taken.length === room) this.#again = true;
        else await this.#setNext(); // whatever rings meanwhile may be later than the answer: it looks again
      }
    } catch {
      this.at(clock.now() + againMs); // the store is away
    } finally {
      this.#looking = false;
      this.#tellIdle();
    }
  }

  async #setNext(): Promise<void> {
    const [next] = await this.#store.scheduled(undefined, 1);
    if (next === undefined) return;
    const now = this.#context.clock.now();
    this.at(Math.max(next.notBefore, now + this.#behind));
    this.#behind = next.notBefore > now ? behindMs : Math.min(2 * this.#behind, againMs);
  }

  /** What is still in hand, or could not be removed, was taken again: its lease was over. */
  #publish(taken: readonly StoredMessage[], until: number): void {
    if (this.#isLate(until)) return; // whoever takes them next publishes them
    const fresh = taken.filter(({ id }) => !this.#inHand.has(id) && !this.#done.has(id));
    for (const { id } of fresh) this.#inHand.add(id);
    if (fresh.length > 0) this.#connection.send(fresh.map((message) => this.#out(message, until)));
  }

  #out(message: StoredMessage, until: number): OutMessage {
    const { to, key, body } = message;
    const id = eventIdOf(message.id);
    const priority = message.headers.find(([name]) => name === header.scheduledPriority)?.[1];
    return {
      ...{ to, id, brokerId: id, key, body },
      hash: key === undefined ? (this.#turn = (this.#turn + 1) & 0x7fff_ffff) : murmur2(key),
      replyTo: undefined,
      notBefore: undefined,
      expiresAt: undefined,
      durable: true,
      priority: priority === undefined ? 1 : Number(priority),
      headers: message.headers.filter(([name]) => name !== header.scheduledPriority),
      value: undefined,
      stored: () => this.#end(message.id),
      failed: (_, error) => void this.#tryAgain(message, until, error),
    };
  }

  /** Tried again as long as nobody else may take it; then whoever takes it next. What has no stream here is left to them at once. */
  async #tryAgain(message: StoredMessage, until: number, error: unknown): Promise<void> {
    const isStray = (error as { readonly code?: unknown } | undefined)?.code === "BUS_NOT_FOUND";
    if (isStray && (await this.#isForNobody(message))) {
      this.#context.warn("dropped what was published for later: its stream was deleted", { topic: message.topic });
      return this.#end(message.id);
    }
    if (!isStray && !this.#closed && !this.#isLate(until, againMs)) {
      this.#failed.add(message.id);
      return this.#after(againMs, () => {
        this.#failed.delete(message.id);
        if (this.#isLate(until)) this.#leave(message.id);
        else this.#connection.send([this.#out(message, until)]);
      });
    }
    if (!this.#closed) this.#warn(message.topic, error);
    this.#leave(message.id);
  }

  /** Of what was taken until then: a publish that begins now, or in a moment, may end when another process has it. */
  #isLate(until: number, inMs = 0): boolean {
    return this.#context.clock.ticks() + inMs >= until - lastTryMs;
  }

  #leave(id: string): void {
    this.#release(id);
    this.#tellIdle();
  }

  /** It is in no list, since it was taken, and nobody waits for it: of many, one is said for each lease. */
  #warn(topic: string, error: unknown): void {
    const ticks = this.#context.clock.ticks();
    if (ticks < this.#warned + leaseMs) return;
    this.#warned = ticks;
    const why = error instanceof Error ? error.message : String(error);
    this.#context.warn("can't publish what is due, and goes on trying", { topic, error: why });
  }

  /** Only what was there when its stream was deleted: another broker, that has the stream, may have the same store. */
  async #isForNobody({ to, storedAt }: StoredMessage): Promise<boolean> {
    if (to.kind !== "topic") return false;
    try {
      const deleted = await this.#store.get(deletedBucket, to.stream);
      if (deleted === undefined || storedAt > Number(new TextDecoder().decode(deleted.value))) return false;
      return !(await this.#connection.admin.streams()).some(({ name }) => name === to.stream);
    } catch {
      return false; // what can't be known now is kept
    }
  }

  #end(id: string): void {
    this.#done.add(id);
    this.#release(id);
    void this.#remove();
  }

  #release(id: string): void {
    this.#inHand.delete(id);
    if (!this.#full || this.#inHand.size > mostInHand / 2) return;
    this.#full = false;
    void this.#look();
  }

  async #remove(): Promise<void> {
    if (this.#removing) return;
    this.#removing = true;
    try {
      while (this.#done.size > 0) {
        const ids = [...this.#done];
        await this.#store.unschedule(ids);
        for (const id of ids) this.#done.delete(id);
      }
    } catch {
      if (!this.#closed) this.#after(againMs, () => void this.#remove()); // published: else it is again, as a duplicate
    } finally {
      this.#removing = false;
      this.#tellIdle();
    }
  }

  #after(ms: number, work: () => void): void {
    const timer = this.#context.clock.after(ms, () => {
      this.#timers.delete(timer);
      work();
    });
    this.#timers.add(timer);
  }

  #tellIdle(): void {
    if (!this.#isIdle) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}
