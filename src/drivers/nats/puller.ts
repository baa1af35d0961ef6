import type { Window } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { Api } from "./api.ts";
import type { ClientMessage } from "./client.ts";
import { NatsMessage, parseReply, type Place } from "./message.ts";
import { Pull } from "./pull.ts";
import type { Session } from "./session.ts";

export interface PullSource {
  /** JetStream's name of it. */
  readonly stream: string;
  readonly consumer: string;
  readonly place: Place;
}

export interface PullerListener {
  /** In the consumer's order, those of one reading turn; never more than the windows allow. */
  messages(messages: readonly NatsMessage[], pull: Pull): void;
  /** The consumer or its stream was deleted; the pull is over. `idle`: nothing waited there. */
  gone(pull: Pull, error: unknown, idle: boolean): void;
}

interface Entry {
  readonly source: PullSource;
  readonly pull: Pull;
  /** What waited at the server when it last said so. */
  pending: number;
  /** It has said something since we asked first: until then as much may wait as was asked for. */
  heard: boolean;
  /** Ticks of the last request or arrival. */
  active: number;
  held: number;
  looking: boolean;
  /** Ticks of the last look that found it. */
  looked: number;
}

interface Held {
  readonly message: NatsMessage;
  readonly entry: Entry;
}

interface Use {
  messages: number;
  bytes: number;
}

const retryMs = 250;
const staleMs = 300;

/**
 * One window over any number of consumers. Each keeps a request open, so more may come than there is room for: that is held
 * back here, and given when there is.
 */
export class Puller {
  readonly #session: Session;
  readonly #api: Api;
  readonly #listener: PullerListener;
  readonly #watch: Disposable;
  readonly #entries = new Map<Pull, Entry>();
  readonly #windows = new Map<string, Window>();
  readonly #used = new Map<string | undefined, Use>();
  readonly #all: Use = { messages: 0, bytes: 0 };
  #window: Window;
  #held: Held[] = [];
  #state: "open" | "stopping" | "closed" = "open";
  #due = false;
  #turn = 0;
  #again: Disposable | undefined;

  constructor(session: Session, api: Api, window: Window, listener: PullerListener) {
    this.#session = session;
    this.#api = api;
    this.#window = window;
    this.#listener = listener;
    this.#watch = session.watch({ up: () => this.#up() });
  }

  add(source: PullSource): Pull {
    const pull: Pull = new Pull(this.#session, source.stream, source.consumer, {
      messages: (messages) => this.#arrived(entry, messages),
      room: (waiting) => {
        if (waiting !== undefined) {
          entry.pending = waiting ? Math.max(entry.pending, 1) : 0;
          entry.heard = true;
        }
        this.#soon();
      },
      gone: (idle) => this.#gone(entry, idle),
      look: () => void this.#look(entry),
    });
    const entry: Entry = {
      source,
      pull,
      pending: 0,
      heard: false,
      active: 0,
      held: 0,
      looking: false,
      looked: -Infinity,
    };
    this.#entries.set(pull, entry);
    this.#soon();
    return pull;
  }

  /** At once: what is under way is left to the server. */
  drop(pull: Pull): void {
    this.#entries.delete(pull);
    pull.close();
    this.#soon();
  }

  /** Nothing waits at the server, for certain. */
  idle(pull: Pull): boolean {
    return pull.idle && this.#entries.get(pull)?.held === 0;
  }

  window(window: Window): void {
    this.#window = window;
    this.#soon();
  }

  partitionWindow(partition: string, window: Window): void {
    this.#windows.set(partition, window);
    this.#soon();
  }

  /** Settled, handed back, revoked or passed over: each makes room again, once. */
  free(messages: readonly NatsMessage[]): void {
    for (let index = 0; index < messages.length; index += 1) {
      const message = messages[index]!;
      if (!message.inWindow) continue;
      message.inWindow = false;
      this.#count(message, -1);
    }
    this.#soon();
  }

  held(): readonly NatsMessage[] {
    return this.#held.map(({ message }) => message);
  }

  heldOf(pull: Pull): number {
    return this.#entries.get(pull)?.held ?? 0;
  }

  /** The held ones that fit (all by default) are the caller's from now on. */
  takeHeld(which: (message: NatsMessage) => boolean = () => true): readonly NatsMessage[] {
    const taken: NatsMessage[] = [];
    const kept: Held[] = [];
    for (const each of this.#held) {
      if (!which(each.message)) kept.push(each);
      else {
        taken.push(each.message);
        each.entry.held -= 1;
      }
    }
    this.#held = kept;
    if (taken.length > 0) this.#soon();
    return taken;
  }

  /** Nothing is given after it resolves. */
  async stop(): Promise<void> {
    if (this.#state !== "open") return;
    this.#state = "stopping";
    await Promise.all([...this.#entries.keys()].map((pull) => pull.stop()));
    this.close();
  }

  close(): void {
    if (this.#state === "closed") return;
    for (const pull of this.#entries.keys()) pull.close();
    this.#state = "closed";
    this.#again?.[Symbol.dispose]();
    this.#entries.clear();
    this.#watch[Symbol.dispose]();
  }

  #arrived(entry: Entry, raws: readonly ClientMessage[]): void {
    const fitting: NatsMessage[] = [];
    entry.active = this.#session.clock.ticks();
    entry.heard = true;
    for (let index = 0; index < raws.length; index += 1) {
      const raw = raws[index]!;
      const delivery = parseReply(raw.reply);
      if (delivery === undefined) continue;
      const message = new NatsMessage(raw, delivery, entry.source.place);
      // what is given back waits too, and the server does not count it
      entry.pending = delivery.delivered > 1 ? Math.max(delivery.pending, 1) : delivery.pending;
      if (this.#state === "open" && entry.held === 0 && this.#fits(message)) {
        this.#take(message);
        fitting.push(message);
      } else {
        entry.held += 1;
        this.#held.push({ message, entry });
      }
    }
    if (fitting.length > 0) this.#listener.messages(fitting, entry.pull);
    this.#soon();
  }

  #fits(message: NatsMessage): boolean {
    if (!roomIn(this.#window, this.#all)) return false;
    if (this.#windows.size === 0 || message.partition === undefined) return true;
    const window = this.#windows.get(message.partition);
    return window === undefined || roomIn(window, this.#use(message.partition));
  }

  #take(message: NatsMessage): void {
    message.inWindow = true;
    this.#count(message, 1);
  }

  #count(message: NatsMessage, sign: 1 | -1): void {
    const use = this.#use(message.partition);
    use.messages += sign;
    use.bytes += sign * message.size;
    this.#all.messages += sign;
    this.#all.bytes += sign * message.size;
  }

  #use(partition: string | undefined): Use {
    let use = this.#used.get(partition);
    if (use === undefined) this.#used.set(partition, (use = { messages: 0, bytes: 0 }));
    return use;
  }

  #soon(): void {
    if (this.#due || this.#state === "closed") return;
    this.#due = true;
    queueMicrotask(() => {
      this.#due = false;
      try {
        this.#release();
        this.#spread();
      } catch (fault) {
        this.#session.fault(fault);
      }
    });
  }

  /** What is held back and fits by now. */
  #release(): void {
    if (this.#held.length === 0 || this.#state !== "open") return;
    const given = new Map<Entry, NatsMessage[]>();
    const blocked = new Set<Entry>();
    const kept: Held[] = [];
    for (const each of this.#held) {
      const { message, entry } = each;
      if (blocked.has(entry) || !this.#fits(message)) {
        blocked.add(entry);
        kept.push(each);
        continue;
      }
      entry.held -= 1;
      this.#take(message);
      const messages = given.get(entry);
      if (messages === undefined) given.set(entry, [message]);
      else messages.push(message);
    }
    this.#held = kept;
    for (const [entry, messages] of given) this.#listener.messages(messages, entry.pull);
  }

  /**
   * Shares out what is free. Those that have something waiting come first, and don't count what others asked for and have
   * not got for a while. The others get a little to begin with, or where there are more of them than room only a probe, so
   * that no more comes than was asked for.
   */
  #spread(): void {
    if (this.#state !== "open") return;
    const bytes = this.#window.bytes - this.#all.bytes;
    const room = this.#window.messages - this.#all.messages - this.#held.length;
    if (room <= 0 || bytes <= 0) return;
    const now = this.#session.clock.ticks();
    const alone = this.#all.messages === 0 && this.#held.length === 0;
    const asking: Entry[] = [];
    let busy = 0;
    let expected = 0;
    let asked = 0;
    for (const entry of this.#entries.values()) {
      const { outstanding } = entry.pull;
      asked += outstanding;
      if ((entry.pending > 0 || !entry.heard) && now - entry.active < staleMs) expected += outstanding;
      if (entry.held > 0 || this.#room(entry) <= 0) continue;
      asking.push(entry);
      if (entry.pending > 0) busy += 1;
    }
    const ample = this.#window.messages >= 2 * asking.length;
    const begin = Math.max(Math.floor(this.#window.messages / (4 * asking.length)), 1);
    let forBusy = room - expected;
    let forIdle = room - asked;
    const share = Math.max(Math.floor(forBusy / Math.max(busy, 1)), 1);
    const bytesEach = Math.max(Math.floor(bytes / Math.max(busy, 1)), 1);
    let starved = false;
    this.#turn += 1; // where there is not enough for all of them, another is first each time
    for (let index = 0; index < asking.length; index += 1) {
      const entry = asking[(index + this.#turn) % asking.length]!;
      const { pull } = entry;
      const before = pull.outstanding;
      const isBusy = entry.pending > 0;
      const wanted = isBusy ? Math.min(share, forBusy) : ample ? Math.min(begin - before, forIdle) : 0;
      const more = Math.min(wanted, this.#room(entry) - before);
      if (more > 0) pull.want(before + more, bytesEach, alone);
      const got = pull.outstanding - before;
      if (got > 0) entry.active = now;
      forBusy -= isBusy ? got : 0;
      forIdle -= got;
      if (pull.outstanding > 0) continue;
      if (isBusy) starved = true;
      else pull.probe();
    }
    if (starved) this.#again ??= this.#session.clock.after(staleMs, this.#later);
  }

  readonly #later = (): void => {
    this.#again = undefined;
    this.#soon();
  };

  #room({ source: { place } }: Entry): number {
    const window = place.partition === undefined ? undefined : this.#windows.get(place.partition);
    if (window === undefined) return this.#window.messages;
    const use = this.#use(place.partition);
    return use.bytes < window.bytes ? window.messages - use.messages : 0;
  }

  #up(): void {
    for (const entry of this.#entries.values()) {
      entry.heard = false;
      entry.pull.reset();
    }
    this.#soon();
  }

  #gone(entry: Entry, idle: boolean): void {
    if (!this.#entries.delete(entry.pull) || this.#state === "closed") return;
    entry.pull.close();
    const error = new DriverError("BUS_NOT_FOUND", "nats: the consumer was deleted at the server", { retryable: true });
    this.#listener.gone(entry.pull, error, idle && entry.held === 0);
  }

  /** No heartbeat: is it the consumer, its leader, or nothing at all? */
  async #look(entry: Entry): Promise<void> {
    if (entry.looking) return;
    entry.looking = true;
    const { clock } = this.#session;
    const pause = (): Promise<void> => new Promise((resolve) => void clock.after(retryMs, resolve));
    try {
      // a cluster may have it and pass no request on to it for a while
      if (clock.ticks() - entry.looked < retryMs) await pause();
      while (this.#entries.has(entry.pull) && this.#session.connected) {
        try {
          const info = await this.#api.consumerInfo(entry.source.stream, entry.source.consumer);
          if (!this.#entries.has(entry.pull)) return;
          if (info === undefined) return this.#gone(entry, false);
          entry.pending = info.num_pending;
          entry.heard = true;
          entry.looked = clock.ticks();
          entry.pull.reset();
          this.#soon();
          return;
        } catch {
          await pause(); // no leader yet
        }
      }
    } finally {
      entry.looking = false;
    }
  }
}

const roomIn = (window: Window, use: Use): boolean => use.messages < window.messages && use.bytes < window.bytes;
