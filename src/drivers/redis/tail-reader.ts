import { Bell } from "./bell.ts";
import { classify, replyWord } from "./errors.ts";
import { compareIds } from "./id.ts";
import type { Link, Reply } from "./link.ts";
import { listOf, textOf } from "./reply.ts";
import type { Session } from "./session.ts";

/** A partition that somebody reads. */
export interface TailPart {
  readonly key: string;
  /** Read up to and including this. */
  readonly position: string;
  /** Ignores what it has read already. */
  take(id: string, fields: readonly Buffer[]): void;
}

/** What reads; several share one blocking read. */
export interface TailClient {
  /** Where there is room, and for how many from each; empty: it is full. */
  wanted(): { readonly parts: readonly TailPart[]; readonly each: number };
  /** All of a reply was taken. */
  pump(): void;
  /** Nothing is under way: what has become of the stream. */
  look(): Promise<void>;
  end(error: unknown): void;
}

const lookEveryMs = 5_000;
const graceMs = 2_000;
const againMs = 200;
const nudgeKeptMs = 60_000;

const readers = new WeakMap<Session, TailReader>();

/** One for each connection. */
export function readerOf(session: Session): TailReader {
  let reader = readers.get(session);
  if (reader === undefined) readers.set(session, (reader = new TailReader(session)));
  return reader;
}

/** One blocking read after the other over all that tails want, on a connection of its own; ended early by a nudge. */
export class TailReader {
  readonly #session: Session;
  readonly #clients = new Set<TailClient>();
  readonly #bell: Bell;
  readonly #nudgeKey: string;
  #nudgeId = "0-0";
  #running = false;
  /** What a read is under way on. */
  #reading: Link | undefined = undefined;
  #nudged = false;
  #looked = -Infinity;

  constructor(session: Session) {
    this.#session = session;
    this.#bell = new Bell(session.clock);
    this.#nudgeKey = session.keys.key("n", session.process);
  }

  add(client: TailClient): void {
    this.#clients.add(client);
    this.nudge();
    if (!this.#running) void this.#run();
  }

  remove(client: TailClient): void {
    if (this.#clients.delete(client)) this.nudge();
  }

  /** What is wanted has changed. */
  readonly nudge = (): void => {
    this.#bell.ring();
    const link = this.#reading;
    if (link === undefined || this.#nudged) return;
    this.#nudged = true; // one is enough
    this.#session
      .command(["XADD", this.#nudgeKey, "MAXLEN", "1", "*", "n", "1"])
      .then(() => this.#session.command(["PEXPIRE", this.#nudgeKey, String(nudgeKeptMs)]))
      .catch((error: unknown) => {
        // a server that is full takes no nudge
        if (replyWord(error) !== undefined && this.#reading === link && this.#nudged) this.#session.dropBlocking(link);
      });
  };

  readonly #lookSoon = (): void => {
    this.#looked = -Infinity;
    this.nudge();
  };

  async #run(): Promise<void> {
    this.#running = true;
    const { closing } = this.#session;
    const listening = [
      this.#session.listen({ up: this.#lookSoon, flushed: this.#lookSoon }),
      this.#session.onEvent("r", this.#lookSoon),
    ];
    closing.addEventListener("abort", this.#bell.ring);
    let link: Link | undefined;
    while (this.#clients.size > 0 && !closing.aborted) {
      try {
        await this.#lookIfDue();
        link = await this.#session.blocking();
        await this.#readOnce(link);
      } catch (error) {
        await this.#failed(error);
      }
    }
    for (const each of listening) each[Symbol.dispose]();
    closing.removeEventListener("abort", this.#bell.ring);
    this.#running = false;
    if (link !== undefined && !closing.aborted) this.#session.dropBlocking(link);
  }

  /** What fails for good ends all: which of them it is can't be told, and each finds out when it is opened again. */
  async #failed(error: unknown): Promise<void> {
    if (this.#session.closing.aborted) return;
    this.#looked = -Infinity;
    const { code, retryable } = classify(error);
    if (!retryable && code !== "BUS_CLOSED" && code !== "BUS_NOT_FOUND") {
      for (const client of [...this.#clients]) client.end(error);
      return;
    }
    await this.#bell.wait(againMs);
  }

  async #lookIfDue(): Promise<void> {
    if (!this.#isLookDue) return;
    this.#looked = this.#session.clock.ticks();
    await Promise.all([...this.#clients].map((client) => client.look()));
  }

  get #isLookDue(): boolean {
    return this.#session.clock.ticks() - this.#looked >= lookEveryMs;
  }

  /** From the check to the command nothing waits: whoever comes in between would not end this read. */
  async #readOnce(link: Link): Promise<void> {
    if (this.#isLookDue) return;
    const byKey = new Map<string, TailPart[]>();
    const lowest = new Map<string, string>();
    let count = Infinity;
    for (const client of this.#clients) {
      const { parts, each } = client.wanted();
      if (parts.length > 0) count = Math.min(count, each);
      for (const part of parts) {
        const others = byKey.get(part.key);
        if (others === undefined) byKey.set(part.key, [part]);
        else others.push(part);
        const { position } = part;
        const from = lowest.get(part.key);
        if (from === undefined || compareIds(position, from) < 0) lowest.set(part.key, position);
      }
    }
    if (byKey.size === 0) return await this.#bell.wait(lookEveryMs);
    const { blockMs } = this.#session.options;
    const args = ["XREAD", "COUNT", String(count), "BLOCK", String(blockMs), "STREAMS", this.#nudgeKey];
    args.push(...byKey.keys(), this.#nudgeId, ...lowest.values());
    const silent = this.#session.clock.after(blockMs + graceMs, () => this.#session.dropBlocking(link));
    this.#reading = link;
    this.#nudged = false;
    let reply: Reply;
    try {
      reply = await link.command(args);
    } finally {
      this.#reading = undefined;
      silent[Symbol.dispose]();
    }
    this.#take(reply, byKey);
  }

  #take(reply: Reply, byKey: ReadonlyMap<string, readonly TailPart[]>): void {
    for (const stream of listOf(reply)) {
      const [key, entries = null] = listOf(stream);
      const name = textOf(key);
      for (const entry of listOf(entries)) {
        const [idReply, fields = null] = listOf(entry);
        const id = textOf(idReply);
        if (name === this.#nudgeKey) this.#nudgeId = id;
        else for (const part of byKey.get(name) ?? []) part.take(id, listOf(fields) as readonly Buffer[]);
      }
    }
    for (const client of [...this.#clients]) client.pump();
  }
}
