import { DriverError } from "../../internal/driver-error.ts";
import {
  DefinitionFold,
  type DefinitionRecord,
  type GroupDefinition,
  type Known,
  type Replay,
} from "./definition-fold.ts";
import { classify } from "./errors.ts";
import { FoldedLog } from "./folded-log.ts";
import { type Remains, removeRemains } from "./remains.ts";
import { randomHex, type Session } from "./session.ts";
import type { StoredStream } from "./stream-plan.ts";

export interface DefinitionsListener {
  streams?(): void;
  group?(name: string, definition: GroupDefinition | undefined): void;
  replay?(group: string, id: string, stream: string): void;
}

const layout = 1;
const claimMs = 10_000;
const releaseAgainMs = 50;
const clearMs = 20_000;
const clearAgainMs = 500;

/** Streams and groups as they stand in the log of definitions, which this process follows. */
export class Definitions {
  readonly #session: Session;
  readonly #log: FoldedLog<DefinitionFold>;
  readonly #listeners = new Set<DefinitionsListener>();
  /** Changes of ours that were the first. */
  readonly #won = new Set<string>();
  readonly #asked = new Set<string>();
  readonly #claimed = new Set<(record?: DefinitionRecord) => void>();

  constructor(session: Session) {
    this.#session = session;
    const queue = session.names.own("d");
    this.#log = new FoldedLog(session, queue, () => this.#declare(queue), {
      begin: () => new DefinitionFold(),
      take: (fold, record) => this.#take(fold, record as DefinitionRecord),
      replaced: () => {
        for (const look of [...this.#claimed]) look();
        for (const listener of [...this.#listeners]) listener.streams?.();
      },
    });
  }

  /** As it stands in the log; never a part of it. */
  get #fold(): DefinitionFold {
    return this.#log.state;
  }

  async start(): Promise<void> {
    const { manage } = this.#session.context;
    const queue = this.#session.names.own("d");
    if (manage === "create") await this.#declare(queue);
    await this.#log.current();
    if (this.#fold.layout > layout)
      throw new DriverError(
        "BUS_UNSUPPORTED",
        `rabbitmq: the definitions have layout ${this.#fold.layout}, made by a newer version; this one knows ${layout}`,
      );
    if (this.#fold.layout === 0 && manage === "create") await this.#log.write({ t: "v", v: layout });
  }

  listen(listener: DefinitionsListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  get streams(): ReadonlyMap<string, StoredStream> {
    return this.#fold.streams;
  }

  get streamsRev(): number {
    return this.#fold.streamsRev;
  }

  get groups(): readonly GroupDefinition[] {
    return [...this.#fold.groups.values()].flatMap(({ definition }) => (definition === undefined ? [] : [definition]));
  }

  group(name: string): Known<GroupDefinition> {
    return this.#fold.group(name);
  }

  replay(id: string, stream: string): Replay | undefined {
    return this.#fold.replay(id, stream);
  }

  /** As of this call. */
  current(): Promise<void> {
    return this.#log.current();
  }

  /** As this process sees them, for those who look again and again. */
  seen(): Promise<void> {
    return this.#log.seen();
  }

  /** False: another change was first. */
  putStream(name: string, def: StoredStream, rev: number): Promise<boolean> {
    return this.#put((by) => ({ t: "s", n: name, rev, by, def }));
  }

  /** What it has at the server is `left` for `clear`. */
  deleteStream(name: string, left: Remains, past: Remains, rev: number): Promise<boolean> {
    return this.#put((by) => ({ t: "s", n: name, rev, by, def: null, left, past }));
  }

  /** What a former making of it has at the server is `past`, for `clear`. */
  putGroup(name: string, def: GroupDefinition, rev: number, past?: Remains): Promise<boolean> {
    return this.#put((by) => ({ t: "g", n: name, rev, by, def, ...(past === undefined ? {} : { past }) }));
  }

  /** What it has at the server is `left` for `clear`. */
  deleteGroup(name: string, left: Remains, past: Remains, rev: number): Promise<boolean> {
    return this.#put((by) => ({ t: "g", n: name, rev, by, def: null, left, past }));
  }

  /** What streams and groups that were deleted have at the server yet, by `stream` or `group` and the name. */
  get remains(): readonly string[] {
    return [...this.#fold.remains.keys()];
  }

  /** Removes what is left of a stream or a group that was deleted; whoever comes by goes on where another one died. */
  async clear(what: string): Promise<void> {
    const until = this.#session.clock.ticks() + clearMs;
    while (this.#fold.remains.has(what)) {
      try {
        return await this.#clear(what);
      } catch (error) {
        // a deletion of what holds much, or is bound to others, may cost the connection: what is gone is gone
        if (this.#session.clock.ticks() > until || this.#session.closed || !classify(error).retryable) throw error;
        await new Promise<void>((resolve) => void this.#session.clock.after(clearAgainMs, resolve));
      }
    }
  }

  async #clear(what: string): Promise<void> {
    await this.exclusively(what, async () => {
      const left = this.#fold.remains.get(what);
      if (left === undefined) return; // another one was faster
      await removeRemains(this.#session, this, left);
      await this.#log.write({ t: "x", n: what, of: left.of } satisfies DefinitionRecord);
    });
  }

  async putReplay(group: string, id: string, stream: string, replay: Replay): Promise<void> {
    await this.#log.append({ t: "r", n: group, id, stream, replay } satisfies DefinitionRecord);
  }

  /**
   * One process at a time makes something: a stream queue that another one is just making breaks the connection of who publishes to
   * it. Who says for too long that it is at work no more is taken for dead.
   */
  async exclusively<Value>(what: string, work: () => Promise<Value>): Promise<Value> {
    const by = randomHex(this.#session.clock);
    let holder = this.#fold.claims.get(what);
    while (holder !== by) {
      if (holder !== undefined) await this.#released(what, holder);
      const over = this.#fold.claims.get(what);
      if (over !== undefined && over !== holder) {
        holder = over; // another one was faster, and has its own time
        continue;
      }
      await this.#log.write({
        t: "c",
        n: what,
        by,
        ...(over === undefined ? {} : { over }),
      } satisfies DefinitionRecord);
      holder = this.#fold.claims.get(what);
    }
    const renewal = this.#renewed(what, by);
    try {
      return await work();
    } finally {
      renewal[Symbol.dispose]();
      this.#release(what, by, this.#session.clock.ticks() + claimMs);
    }
  }

  #renewed(what: string, by: string): Disposable {
    const { clock } = this.#session;
    let timer: Disposable;
    const renew = (): void => {
      timer = clock.after(claimMs / 3, () => {
        this.#log.append({ t: "c", n: what, by, over: by } satisfies DefinitionRecord).catch(() => undefined); // the next one says it
        renew();
      });
    };
    renew();
    return { [Symbol.dispose]: () => timer[Symbol.dispose]() };
  }

  /** Told again while the line is away; in the end who waits for it takes it over. */
  #release(what: string, over: string, until: number): void {
    const { clock } = this.#session;
    this.#log.append({ t: "c", n: what, over } satisfies DefinitionRecord).catch(() => {
      if (!this.#session.closed && clock.ticks() < until)
        clock.after(releaseAgainMs, () => this.#release(what, over, until));
    });
  }

  /** By the first who needs it; not looked at again. */
  async once(what: string, work: () => Promise<void>): Promise<void> {
    if (this.#fold.made.has(what)) return;
    await this.exclusively(what, async () => {
      if (this.#fold.made.has(what)) return;
      await work();
      await this.note(what);
    });
  }

  /** That it was made, or begun. */
  async note(what: string): Promise<void> {
    await this.#log.write({ t: "m", n: what } satisfies DefinitionRecord);
  }

  isMade(what: string): boolean {
    return this.#fold.made.has(what);
  }

  /** Resolves when it is another's, or nobody's, or was not renewed for too long. */
  #released(what: string, holder: string): Promise<void> {
    return new Promise((resolve) => {
      const wait = (): Disposable => this.#session.clock.after(claimMs, () => done());
      let timer = wait();
      const look = (record?: DefinitionRecord): void => {
        if (this.#fold.claims.get(what) !== holder) return done();
        if (record?.t !== "c" || record.n !== what) return;
        timer[Symbol.dispose]();
        timer = wait(); // renewed
      };
      const done = (): void => {
        timer[Symbol.dispose]();
        this.#claimed.delete(look);
        resolve();
      };
      this.#claimed.add(look);
      if (this.#session.closed) done();
    });
  }

  /** The past of a partition is handled. Said before its token is forgotten: who finds no token relies on it. */
  async caughtUp(group: string, id: string, stream: string, p: number): Promise<void> {
    await this.#log.append({ t: "k", n: group, id, stream, p } satisfies DefinitionRecord);
  }

  isCaughtUp(id: string, stream: string, partition: number): boolean {
    return this.#fold.isCaughtUp(id, stream, partition);
  }

  close(): void {
    this.#log.close();
    this.#fold.claims.clear();
    for (const look of [...this.#claimed]) look();
  }

  async #put(make: (by: string) => DefinitionRecord): Promise<boolean> {
    const by = randomHex(this.#session.clock);
    this.#asked.add(by);
    try {
      await this.#log.write(make(by));
      return this.#won.has(by);
    } finally {
      this.#asked.delete(by);
      this.#won.delete(by);
    }
  }

  #take(fold: DefinitionFold, record: DefinitionRecord): void {
    if (fold.take(record) === undefined) return;
    if ("by" in record && record.by !== undefined && this.#asked.has(record.by)) this.#won.add(record.by);
    if (fold !== this.#fold) return; // not in force yet
    if (record.t === "c") for (const look of [...this.#claimed]) look(record);
    for (const listener of [...this.#listeners]) {
      if (record.t === "s") listener.streams?.();
      else if (record.t === "g") listener.group?.(record.n, record.def ?? undefined);
      else if (record.t === "r") listener.replay?.(record.n, record.id, record.stream);
    }
  }

  async #declare(queue: string): Promise<void> {
    if (this.#session.context.manage !== "create")
      throw new DriverError("BUS_NOT_FOUND", `rabbitmq: there is no queue "${queue}"`);
    await this.#session.ask((channel) =>
      channel.assertQueue(queue, {
        durable: true,
        arguments: { "x-queue-type": "stream", "x-stream-max-segment-size-bytes": 16_000_000 },
      }),
    );
  }
}
