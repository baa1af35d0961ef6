import type { Clock } from "../../clock.ts";
import type { ConnectContext } from "../../driver.ts";
import type { ClientLink } from "./client-link.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { classify, closedError, notConnected, replyWord } from "./errors.ts";
import { Keys } from "./keys.ts";
import type { Arg, Link, Reply } from "./link.ts";
import { largestMessage, maxMessageBytes } from "./capabilities.ts";
import { linksOf, type Links } from "./links.ts";
import type { ResolvedOptions } from "./options.ts";
import type { Script } from "./script.ts";
import { checkRole, checkServer, infoOf, isDurable, longestArgument, warningsOf } from "./server-check.ts";
import { Watch } from "./watch.ts";

export interface SessionListener {
  /** Connected, again: resync, beat, fetch. */
  up?(): void;
  /** Whatever was open is rejected already, or will be in this turn. */
  down?(error: unknown): void;
  /** Another database id: nothing of ours is there. */
  flushed?(): void;
}

type EventKind = "r" | "m" | "d" | "p" | "s";
type MessageKind = "w" | "f";

const layout = "1";
const firstWaitMs = 50;
const longestWaitMs = 1_000;
const refusedWaitMs = 5_000;

/** The connections of one bus, made again when they are lost; this process's identity; the database that it knows. */
export class Session {
  readonly keys: Keys;
  readonly options: ResolvedOptions;
  readonly context: ConnectContext;
  readonly clock: Clock;
  /** 32 hex digits. */
  readonly process: string;
  readonly #links: Links;
  readonly #listeners = new Set<SessionListener>();
  readonly #onEvent = new Map<EventKind, Set<(rest: string) => void>>();
  readonly #onMessage = new Map<MessageKind, Set<(message: Buffer) => void>>();
  readonly #loaded = new Set<string>();
  readonly #watch: Watch;
  #id = "";
  #command: Link | undefined = undefined;
  #subscriber: Link | undefined = undefined;
  #blocking: Promise<Link> | undefined = undefined;
  #isUp = false;
  readonly #closing = new AbortController();
  #retry: Disposable | undefined = undefined;
  #looking = false;
  #garbled = false;
  #maxMessageBytes = maxMessageBytes;

  /** One try; a rejected one leaves nothing open. */
  static async open(options: ResolvedOptions, context: ConnectContext): Promise<Session> {
    const session = new Session(options, context);
    try {
      const command = await session.#connect(context.signal);
      await checkServer(session, command);
    } catch (error) {
      session.#closing.abort(closedError());
      session.#retry?.[Symbol.dispose]();
      session.#drop();
      throw error;
    }
    session.#watch.start();
    return session;
  }

  private constructor(options: ResolvedOptions, context: ConnectContext) {
    this.keys = new Keys(context.prefix);
    this.options = options;
    this.context = context;
    this.clock = context.clock;
    this.process = randomHex(context.clock);
    this.#links = linksOf(options, this.keys.base, context);
    this.#watch = new Watch(
      context.clock,
      options,
      () => [this.#command, this.#subscriber],
      (error) => this.#lost(error),
    );
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  get closed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Aborts when `close` begins. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** The client that commands go over: the user's, or ours as it is now. */
  get native(): unknown {
    return this.options.client ?? (this.#command as ClientLink | undefined)?.client;
  }

  /** What the server may lose or evict, and of what it consists. */
  async describe(): Promise<Readonly<Record<string, string>>> {
    const link = this.#command;
    if (link === undefined || !this.#isUp) throw notConnected();
    const warnings = await warningsOf(link);
    const info = await infoOf(link);
    return {
      redis: info.get("redis_version") ?? "unknown",
      ...(warnings.length === 0 ? {} : { warnings: warnings.join("; ") }),
    };
  }

  /** As the server had it when we connected last. */
  get maxMessageBytes(): number {
    return this.#maxMessageBytes;
  }

  async isDurable(): Promise<boolean> {
    return this.#command === undefined || (await isDurable(this.#command));
  }

  /** Calls run in call order, except for one that finds its script gone from the server: it comes again. */
  run(script: Script, args: readonly Arg[]): Promise<Reply> {
    return this.runOnce(script, args).catch((error: unknown) => {
      if (replyWord(error) === "NOSCRIPT") return this.runOnce(script, args);
      throw error;
    });
  }

  /** As `run`, but the server's NOSCRIPT is the caller's; the next call brings the script along. */
  runOnce(script: Script, args: readonly Arg[]): Promise<Reply> {
    const known = this.#loaded.has(script.sha);
    this.#loaded.add(script.sha);
    const answer = this.command([
      known ? "EVALSHA" : "EVAL",
      known ? script.sha : script.source,
      "1",
      this.keys.base,
      this.#id,
      ...args,
    ]);
    return answer.catch((error: unknown) => {
      const word = replyWord(error);
      if (word === "NOSCRIPT") this.#loaded.delete(script.sha);
      if (word === "GONE" && (error as Error).message.startsWith("GONE database")) this.#look();
      throw error;
    });
  }

  command(args: readonly Arg[]): Promise<Reply> {
    const link = this.#command;
    if (this.closed) return Promise.reject(closedError());
    if (link === undefined || !this.#isUp) return Promise.reject(notConnected());
    return link.command(args).catch((error: unknown) => {
      // demoted under us: nothing ran, and another server is the primary
      if (replyWord(error) === "READONLY" && this.#command === link) this.#lost(error);
      throw error;
    });
  }

  listen(listener: SessionListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** By the first letter: r routes, m members, d due, p presence, s state. Given what follows the blank. */
  onEvent(kind: EventKind, listener: (rest: string) => void): Disposable {
    return register(this.#onEvent, kind, listener);
  }

  /** w: wake-ups, given what follows the blank; f: a frame of the direct lane, given what follows the letter. */
  onMessage(kind: MessageKind, listener: (message: Buffer) => void): Disposable {
    return register(this.#onMessage, kind, listener);
  }

  /** The connection of tails, opened with the first, and again when it was lost. */
  blocking(): Promise<Link> {
    if (this.closed) return Promise.reject(closedError());
    if (this.#blocking !== undefined) return this.#blocking;
    const opening = this.#links.open("blocking", () => forget(), this.#closing.signal);
    const forget = (): void => {
      if (this.#blocking === opening) this.#blocking = undefined;
      opening.then(
        (link) => link.destroy(),
        () => undefined,
      );
    };
    opening.catch(forget);
    return (this.#blocking = opening);
  }

  /** It is silent, or of no use any more: the next call of `blocking` opens another one. */
  dropBlocking(link: Link): void {
    this.#blocking = undefined;
    link.destroy();
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.closed) return;
    const links = [this.#command, this.#subscriber];
    this.#closing.abort(closedError());
    this.#isUp = false;
    this.#retry?.[Symbol.dispose]();
    this.#watch.stop();
    this.#dropBlocking();
    await Promise.all(links.map(async (link) => link?.close(signal)));
    this.#command = undefined;
    this.#subscriber = undefined;
  }

  /** All that is needed to be up, or nothing. */
  async #connect(outer: AbortSignal): Promise<Link> {
    const { connectTimeoutMs, socketTimeoutMs } = this.options;
    const giveUp = new AbortController();
    const late = this.clock.after(connectTimeoutMs + socketTimeoutMs, () => giveUp.abort(notConnected()));
    const abort = (): void => giveUp.abort(outer.aborted ? outer.reason : closedError());
    const stop = (): void => this.#drop();
    const { signal } = giveUp;
    outer.addEventListener("abort", abort, { once: true });
    this.#closing.signal.addEventListener("abort", abort, { once: true });
    signal.addEventListener("abort", stop, { once: true });
    try {
      outer.throwIfAborted();
      const lost = (error: unknown): void => (this.#isUp ? this.#lost(error) : giveUp.abort(error));
      const command = (this.#command = await this.#links.open("command", lost, signal));
      await checkRole(command);
      this.#maxMessageBytes = largestMessage(await longestArgument(command));
      const subscriber = (this.#subscriber = await this.#links.open("subscriber", lost, signal));
      await Promise.all([
        subscriber.subscribe(this.keys.events, this.#takeEvent),
        subscriber.subscribe(this.keys.channel(this.process), this.#takeMessage),
      ]);
      const flushed = await this.#findDatabase(command);
      signal.throwIfAborted();
      this.#loaded.clear();
      this.#isUp = true;
      if (flushed) this.#flushed();
      return command;
    } catch (error) {
      this.#drop();
      throw signal.aborted ? signal.reason : error;
    } finally {
      late[Symbol.dispose]();
      outer.removeEventListener("abort", abort);
      this.#closing.signal.removeEventListener("abort", abort);
      signal.removeEventListener("abort", stop);
    }
  }

  /** Which database it is; made when there is none. True: not the one that we knew. */
  async #findDatabase(link: Link): Promise<boolean> {
    const read = async (): Promise<readonly (Buffer | null)[]> =>
      (await link.command(["HMGET", this.keys.base, "id", "layout"])) as readonly (Buffer | null)[];
    let [id, found] = await read();
    // a full server refuses it, and yet must be connected to, to be emptied
    if (this.context.manage === "create" && (id === null || found === null)) {
      await link.command(["HSETNX", this.keys.base, "id", randomHex(this.clock)]);
      await link.command(["HSETNX", this.keys.base, "layout", layout]);
      [id, found] = await read();
    }
    checkLayout(found?.toString());
    const known = this.#id;
    this.#id = id?.toString() ?? "none";
    return known !== "" && known !== this.#id;
  }

  /** A script says that this is not the database that we know. */
  #look(): void {
    const link = this.#command;
    if (this.#looking || link === undefined || !this.#isUp) return;
    this.#looking = true;
    this.#findDatabase(link)
      .then(
        (flushed) => {
          if (flushed && this.#isUp) this.#flushed();
        },
        (error: unknown) => {
          if (this.#command === link) this.#lost(error);
        },
      )
      .finally(() => (this.#looking = false));
  }

  #flushed(): void {
    for (const listener of [...this.#listeners]) listener.flushed?.();
  }

  #lost(error: unknown): void {
    if (!this.#isUp || this.closed) return;
    this.#drop();
    this.#dropBlocking(); // as silent, or at a server that is the primary no more
    this.context.status({ type: "disconnected", error });
    for (const listener of [...this.#listeners]) listener.down?.(error);
    this.#connectLater(firstWaitMs, classify(error).code);
  }

  #drop(): void {
    this.#isUp = false;
    this.#command?.destroy();
    this.#subscriber?.destroy();
    this.#command = undefined;
    this.#subscriber = undefined;
  }

  #dropBlocking(): void {
    const opening = this.#blocking;
    this.#blocking = undefined;
    opening?.then(
      (link) => link.destroy(),
      () => undefined,
    );
  }

  #connectLater(waitMs: number, code: string): void {
    if (this.closed) return;
    const wait = code === "BUS_AUTHENTICATION" ? refusedWaitMs : waitMs;
    this.#retry = this.clock.after(wait * (0.5 + this.clock.random() / 2), () => {
      this.#connect(this.#closing.signal).then(
        () => this.#back(),
        (error: unknown) => {
          if (this.closed) return;
          const found = classify(error).code;
          // why it lasts, once
          if (found !== code && found === "BUS_AUTHENTICATION") this.context.status({ type: "disconnected", error });
          this.#connectLater(Math.min(waitMs * 2, longestWaitMs), found);
        },
      );
    });
  }

  #back(): void {
    if (!this.#isUp || this.closed) return;
    this.context.status({ type: "connected" });
    for (const listener of [...this.#listeners]) listener.up?.();
  }

  readonly #takeEvent = (message: Buffer): void => {
    const text = message.toString();
    for (const listener of this.#onEvent.get(text[0] as EventKind) ?? []) listener(text.slice(2));
  };

  readonly #takeMessage = (message: Buffer): void => {
    const kind = String.fromCharCode(message[0]!) as MessageKind;
    try {
      for (const listener of this.#onMessage.get(kind) ?? []) listener(message.subarray(kind === "w" ? 2 : 1));
    } catch (cause) {
      // thrown into the client it would cost the connection
      if (!(cause instanceof RangeError)) throw cause;
      if (!this.#garbled) this.context.warn("a message on a channel of ours is not of ours; such ones are dropped");
      this.#garbled = true;
    }
  };
}

function checkLayout(found: string | undefined): void {
  if (found !== undefined && Number(found) > Number(layout))
    throw new DriverError(
      "BUS_UNSUPPORTED",
      `redis: the keys have layout ${found}, made by a newer version; this one knows ${layout}`,
    );
}

function register<Kind, Listener>(table: Map<Kind, Set<Listener>>, kind: Kind, listener: Listener): Disposable {
  let listeners = table.get(kind);
  if (listeners === undefined) table.set(kind, (listeners = new Set()));
  listeners.add(listener);
  return { [Symbol.dispose]: () => void listeners.delete(listener) };
}

function randomHex(clock: Clock): string {
  let text = "";
  for (let count = 0; count < 4; count += 1)
    text += Math.floor(clock.random() * 2 ** 32)
      .toString(16)
      .padStart(8, "0");
  return text;
}
