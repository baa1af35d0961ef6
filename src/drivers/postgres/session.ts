import type { Clock } from "../../clock.ts";
import type { ConnectContext } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { classify } from "./classify.ts";
import { closedError, NotSent, type Link, type OpenLink, type Row, type Value } from "./link.ts";
import { openLink, type LinkKind } from "./links.ts";
import { checkLayout, prepareLayout } from "./migrate.ts";
import { Names } from "./names.ts";
import type { ResolvedOptions } from "./options.ts";
import { checkServer, type Server, timelineOf } from "./server-check.ts";
import { textArrayOf } from "./values.ts";
import { Watch } from "./watch.ts";

export interface SessionListener {
  /** Connected, again. */
  up?(): void;
  /** Whatever was open is rejected already, or will be in this turn. */
  down?(error: unknown): void;
  /** We moved the routing to this. */
  moved?(routing: string): void;
  /** Another database, whose numbers are others': whatever was known of the former one is dropped now, before anything is asked. */
  replaced?(): void;
}

/** n published to a stream, g a group moved, r the routing, d who listens directly, s a bucket, p for this process alone. */
export type NewsKind = "n" | "g" | "r" | "d" | "s" | "p";

const newsEveryMs = 2;
const firstWaitMs = 50;
const longestWaitMs = 1_000;
const refusedWaitMs = 5_000;
const probeMs = 2_000;
/** A long count is no dead line: so many times as long as others the desk is waited for. */
const deskPatience = 10;

/** The connections of one bus, made again when they are lost, all of them or none. */
export class Session {
  readonly options: ResolvedOptions;
  readonly context: ConnectContext;
  readonly clock: Clock;
  readonly writer: Link = { query: (text, values) => this.query("writer", text, values) };
  readonly worker: Link = { query: (text, values) => this.query("worker", text, values) };
  readonly desk: Link = { query: (text, values) => this.query("desk", text, values) };
  #names: Names | undefined;
  #server: Server | undefined;
  #database = "";
  /** Of its history: another one was promoted, and may not have the last of what the former had. */
  #timeline: string | undefined;
  #promoted = false;
  #links: Partial<Record<LinkKind, OpenLink>> = {};
  #isUp = false;
  #hears = false;
  /** What is listened to for this process alone. */
  #own: string | undefined;
  readonly #listeners = new Set<SessionListener>();
  readonly #onNews = new Map<NewsKind, Set<(rest: string, partitions?: readonly number[]) => void>>();
  readonly #news = new Set<string>();
  #telling = false;
  readonly #filled = new Map<string, string>();
  readonly #closing = new AbortController();
  readonly #watch: Watch;
  #retry: Disposable | undefined;
  /** An idle client's loss would end the process, since nobody waits for it. */
  readonly #onPoolError = (): void => undefined;
  /** With `VACUUM`, which takes as long as it takes. */
  #apart: OpenLink | undefined;
  #vacuums = false;
  /** To the server that is in use. */
  #another: (() => Promise<OpenLink>) | undefined;

  /** One try; a rejected one leaves nothing open. */
  static async open(options: ResolvedOptions, context: ConnectContext): Promise<Session> {
    const session = new Session(options, context);
    options.pool?.on("error", session.#onPoolError);
    try {
      await session.#connect(context.signal);
    } catch (error) {
      session.#closing.abort(closedError());
      session.#drop();
      options.pool?.removeListener("error", session.#onPoolError);
      throw error;
    }
    for (const warning of session.#server?.warnings ?? []) context.warn(`postgres: ${warning}`);
    session.#watch.start();
    return session;
  }

  private constructor(options: ResolvedOptions, context: ConnectContext) {
    this.options = options;
    this.context = context;
    this.clock = context.clock;
    this.#watch = new Watch(
      context.clock,
      options.socketTimeoutMs,
      () =>
        Object.entries(this.#links).flatMap(([kind, { askedAt }]) => {
          if (askedAt === undefined || (kind === "desk" && this.#vacuums)) return [];
          return [kind === "desk" ? askedAt + options.socketTimeoutMs * (deskPatience - 1) : askedAt];
        }),
      (error) => this.#lost(error),
    );
  }

  get names(): Names {
    return this.#names!;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  get closed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Whether what others announce is heard. */
  get hears(): boolean {
    return this.#hears;
  }

  get pollMs(): number {
    return this.options.pollMs ?? (this.#hears ? 1_000 : 100);
  }

  get server(): Server {
    return this.#server!;
  }

  /** Its own number; another one is another database. */
  get database(): string {
    return this.#database;
  }

  /** A standby became this database: it may lack the last of what there was, and positions above its own are those. */
  get promoted(): boolean {
    return this.#promoted;
  }

  get native(): unknown {
    return this.options.pool ?? this.#links.desk?.native;
  }

  /** \`text\` with its tables and functions named. */
  query(kind: LinkKind, text: string, values?: readonly Value[]): Promise<readonly Row[]> {
    if (this.closed) return Promise.reject(closedError());
    const link = this.#links[kind];
    if (link === undefined || !this.#isUp) return Promise.reject(new NotSent());
    // behind a pooler of transactions nothing is heard, and another session would not know the name
    return link.query(this.fill(text), values, this.#hears && values !== undefined && text.includes("{1:"));
  }

  /** On a connection that is there for it alone, since it would hold others up; a pool gives none beyond what it must have. */
  async apart(text: string): Promise<void> {
    if (this.options.pool !== undefined || this.#another === undefined || !this.#isUp) {
      this.#vacuums = true;
      return void (await this.desk.query(text).finally(() => (this.#vacuums = false)));
    }
    const link = await this.#another();
    if (!this.#isUp) link.destroy();
    this.#apart = link;
    try {
      await link.query(this.fill(text));
      await link.close();
    } finally {
      link.destroy();
      if (this.#apart === link) this.#apart = undefined;
    }
  }

  fill(text: string): string {
    let filled = this.#filled.get(text);
    if (filled === undefined) this.#filled.set(text, (filled = this.names.fill(text)));
    return filled;
  }

  listen(listener: SessionListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** `partitions`: what of a stream it is about, where that is known. */
  onNews(kind: NewsKind, listener: (rest: string, partitions?: readonly number[]) => void): Disposable {
    let listeners = this.#onNews.get(kind);
    if (listeners === undefined) this.#onNews.set(kind, (listeners = new Set()));
    listeners.add(listener);
    return { [Symbol.dispose]: () => void listeners.delete(listener) };
  }

  /** For everybody, what comes together in one transaction; whoever does not hear it looks for himself. */
  announce(kind: NewsKind, rest: string | number = "", partitions?: readonly number[]): void {
    this.#heard(kind, String(rest), partitions);
    this.#news.add(`${kind} ${rest}`);
    if (!this.#telling) void this.#tell();
  }

  /** Hear what is for this process alone, under its number. */
  async hearOwn(process: number): Promise<void> {
    this.#own = this.names.channel(process);
    if (this.#hears) await this.#links.listener?.query(`LISTEN ${this.#own}`);
  }

  /** A line on which nothing is asked could be dead for ever: nothing would be heard, and nobody would know. */
  beat(): void {
    const { listener } = this.#links;
    if (this.#isUp && listener?.askedAt === undefined) listener?.query("SELECT 1").catch(() => undefined); // its line ends, and says so
  }

  /** The bus is told at once, by `announce`, and not by the next heartbeat again. */
  moved(routing: string): void {
    for (const listener of [...this.#listeners]) listener.moved?.(routing);
  }

  /** What answers is not what we connected to, as behind a pooler that was given another: by new connections that is found out. */
  distrust(error: unknown): void {
    this.#lost(error);
  }

  /** Calls back unless the session is closed by then. */
  later(ms: number, callback: () => void): Disposable {
    return this.clock.after(ms, () => {
      if (!this.closed) callback();
    });
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.closed) return;
    const links = Object.values(this.#links);
    this.#closing.abort(closedError());
    this.#isUp = false;
    this.#retry?.[Symbol.dispose]();
    this.#watch.stop();
    this.options.pool?.removeListener("error", this.#onPoolError);
    this.#apart?.destroy();
    const destroy = (): void => {
      for (const link of links) link.destroy();
    };
    signal.addEventListener("abort", destroy, { once: true });
    if (signal.aborted) destroy();
    else await Promise.all(links.map((link) => link.close().catch(() => undefined)));
    signal.removeEventListener("abort", destroy);
    destroy();
    this.#links = {};
  }

  /** All that is needed to be up, or nothing. */
  async #connect(outer: AbortSignal): Promise<void> {
    const { connectTimeoutMs, socketTimeoutMs, pool } = this.options;
    const hosts = pool === undefined ? this.options.hosts : this.options.hosts.slice(0, 1);
    const patience = connectTimeoutMs + socketTimeoutMs;
    let failure: unknown;
    for (const host of hosts) {
      const giveUp = new AbortController();
      let late: Disposable | undefined;
      const wait = (ms: number): void => {
        late = this.clock.after(ms, () =>
          giveUp.abort(
            new DriverError("BUS_TIMEOUT", `postgres: not connected within ${Math.round(ms)} ms`, { retryable: true }),
          ),
        );
      };
      // making the layout takes as long as it takes; the caller's signal ends that
      const unhurried = async (work: () => Promise<unknown>): Promise<void> => {
        if (this.#database === "") late?.[Symbol.dispose]();
        await work();
        late?.[Symbol.dispose]();
        wait(patience + probeMs);
      };
      wait(patience / hosts.length); // a silent one is not to use up what those behind it need
      const abort = (): void => giveUp.abort(outer.aborted ? outer.reason : closedError());
      outer.addEventListener("abort", abort, { once: true });
      this.#closing.signal.addEventListener("abort", abort, { once: true });
      const stop = (): void => this.#drop();
      giveUp.signal.addEventListener("abort", stop, { once: true });
      try {
        outer.throwIfAborted();
        return await this.#connectTo(host, giveUp, unhurried);
      } catch (error) {
        this.#drop();
        failure = giveUp.signal.aborted ? giveUp.signal.reason : error;
        if (outer.aborted || this.closed) throw failure;
      } finally {
        late?.[Symbol.dispose]();
        outer.removeEventListener("abort", abort);
        this.#closing.signal.removeEventListener("abort", abort);
        giveUp.signal.removeEventListener("abort", stop);
      }
    }
    throw failure;
  }

  async #connectTo(
    host: ResolvedOptions["hosts"][number],
    giveUp: AbortController,
    unhurried: (work: () => Promise<unknown>) => Promise<void>,
  ): Promise<void> {
    const { options, context, clock } = this;
    const { signal } = giveUp;
    let blocked = false;
    const linkContext = {
      options,
      clock,
      name: context.name,
      blocked: (now: boolean): void => {
        if (now === blocked) return;
        blocked = now;
        context.status({ type: now ? "blocked" : "unblocked" });
      },
    };
    this.#another = () => openLink("desk", host, linkContext, () => undefined, this.#closing.signal);
    const lost = (error: unknown): void => (this.#isUp ? this.#lost(error) : giveUp.abort(error));
    const open = async (kind: LinkKind): Promise<OpenLink> => {
      const link = await openLink(kind, host, linkContext, lost, signal);
      if (signal.aborted) {
        link.destroy();
        throw signal.reason;
      }
      return (this.#links[kind] = link);
    };
    const kinds: LinkKind[] = ["worker", "writer", "desk", ...(options.listen ? (["listener"] as const) : [])];
    const opened = await Promise.allSettled(kinds.map(open));
    for (const each of opened) if (each.status === "rejected") throw each.reason;
    const worker = this.#links.worker!;
    const server = await checkServer(worker, options.schema);
    await unhurried(() => Promise.resolve()); // it has answered: the rest has as long again
    if (this.#names === undefined || this.#names.schema !== server.schema) {
      this.#names = new Names(server.schema, context.prefix);
      this.#filled.clear();
    }
    this.#server = server;
    await prepareLayout(worker, this.#names, context.manage, unhurried);
    const database = await checkLayout(worker, this.#names);
    const timeline = await timelineOf(worker);
    const replaced = this.#database !== "" && (this.#database !== database || this.#timeline !== timeline);
    if (replaced) this.#own = undefined; // there it is another process's
    this.#hears = this.#links.listener !== undefined && (await this.#hear(this.#links.listener, worker));
    signal.throwIfAborted();
    this.#promoted = this.#database === database && (this.#promoted || replaced);
    this.#database = database;
    this.#timeline = timeline;
    this.#isUp = true;
    if (replaced) for (const listener of [...this.#listeners]) listener.replaced?.();
  }

  /** Through a pooler of transactions \`LISTEN\` is answered and nothing is ever heard: so it is tried, from another connection. */
  async #hear(listener: OpenLink, worker: OpenLink): Promise<boolean> {
    const all = this.names.channel(undefined);
    const probe = `probe ${this.clock.random()}`;
    const { promise: heard, resolve } = Promise.withResolvers<boolean>();
    listener.onNotification((_channel, payload, pid) => {
      if (payload === probe) return resolve(true);
      if (payload.startsWith("p") || pid !== listener.pid) this.#heard(payload[0] as NewsKind, payload.slice(2));
    });
    await listener.query(`LISTEN ${all}`);
    if (this.#own !== undefined) await listener.query(`LISTEN ${this.#own}`);
    await worker.query("SELECT pg_notify($1, $2)", [all, probe]);
    const timer = this.clock.after(probeMs, () => resolve(false));
    const hears = await heard;
    timer[Symbol.dispose]();
    if (hears) return true;
    this.context.warn(
      "postgres: nothing is heard by LISTEN, as through a pooler of transactions: it is polled instead",
      {
        pollMs: this.pollMs,
      },
    );
    delete this.#links.listener;
    await listener.close();
    return false;
  }

  #heard(kind: NewsKind, rest: string, partitions?: readonly number[]): void {
    for (const listener of [...(this.#onNews.get(kind) ?? [])]) listener(rest, partitions);
  }

  async #tell(): Promise<void> {
    this.#telling = true;
    while (this.#news.size > 0) {
      const texts = textArrayOf([...this.#news]);
      this.#news.clear();
      const channel = this.names.channel(undefined);
      const text = "SELECT pg_notify($1, text) FROM unnest($2::text[]) AS text";
      // the worker has what members of this process wait for
      await this.query(this.#hears ? "listener" : "worker", text, [channel, texts]).catch(() => undefined); // who did not hear it polls
      await new Promise<void>((resolve) => void this.clock.after(newsEveryMs, resolve));
    }
    this.#telling = false;
  }

  #lost(error: unknown): void {
    if (!this.#isUp || this.closed) return;
    this.#drop();
    this.context.status({ type: "disconnected", error });
    for (const listener of [...this.#listeners]) listener.down?.(error);
    this.#connectLater(firstWaitMs, classify(error).code);
  }

  #drop(): void {
    this.#isUp = false;
    for (const link of Object.values(this.#links)) link.destroy();
    this.#links = {};
    this.#apart?.destroy();
    this.#apart = undefined;
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
}
