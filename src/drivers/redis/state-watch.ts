import { Bell } from "./bell.ts";
import { classify } from "./errors.ts";
import { escapeName } from "./keys.ts";
import type { Reply } from "./link.ts";
import { listOf, textOf, textsOf } from "./reply.ts";
import { getScript, keysScript } from "./scripts/state.ts";
import type { Session } from "./session.ts";

export interface StateChange {
  readonly key: string;
  readonly revision: string;
  readonly value: Uint8Array | undefined;
}

interface Known {
  readonly revision: string;
  /** By `Clock.ticks`. */
  readonly ends: number;
}

/** Keys listed in one script; values asked for at once. */
const pageSize = 256;
const readAtOnce = 64;
const againMs = 1_000;

/** The keys of a bucket that begin with a prefix and have not ended, a page at a time. */
export async function* keysOf(session: Session, bucket: string, prefix: string): AsyncGenerator<readonly string[]> {
  for (let after = ""; ;) {
    const reply = await session.run(keysScript, [escapeName(bucket), prefix, after, String(pageSize)]);
    const [last = "", ...keys] = textsOf(reply);
    yield keys;
    if (last === "") return;
    after = last;
  }
}

/**
 * Told by events which key moved, it asks what has become of it; after a reconnect it asks for all. What came in between is
 * merged, so a slow reader costs no more than the keys there are.
 */
export class StateWatch {
  readonly #session: Session;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #signal: AbortSignal;
  readonly #bell: Bell;
  readonly #watching: readonly Disposable[];
  readonly #known = new Map<string, Known>();
  readonly #moved = new Set<string>();
  #all = true;

  constructor(session: Session, bucket: string, prefix: string, signal: AbortSignal) {
    this.#session = session;
    this.#bucket = bucket;
    this.#prefix = prefix;
    this.#signal = signal;
    this.#bell = new Bell(session.clock);
    const about = `${escapeName(bucket)} `;
    this.#watching = [
      session.onEvent("s", (rest) => {
        if (rest.startsWith(about + prefix)) this.#look(rest.slice(about.length));
      }),
      session.listen({ up: () => this.#lookAtAll(), flushed: () => this.#lookAtAll() }),
    ];
    signal.addEventListener("abort", this.#bell.ring);
    session.closing.addEventListener("abort", this.#bell.ring);
  }

  close(): void {
    for (const each of this.#watching) each[Symbol.dispose]();
    this.#signal.removeEventListener("abort", this.#bell.ring);
    this.#session.closing.removeEventListener("abort", this.#bell.ring);
  }

  async *changes(): AsyncGenerator<StateChange> {
    while (!this.#over) {
      const keys = await this.#whenUp(() => this.#next());
      if (keys === undefined) continue;
      for (const change of keys) {
        if (this.#over) return;
        yield change;
      }
      if (!this.#all && this.#moved.size === 0) await this.#bell.wait(this.#untilNextEnd());
    }
  }

  get #over(): boolean {
    return this.#signal.aborted || this.#session.closing.aborted;
  }

  #look(key: string): void {
    this.#moved.add(key);
    this.#bell.ring();
  }

  #lookAtAll(): void {
    this.#all = true;
    this.#bell.ring();
  }

  /** While the connection is away nothing can be said; when it is back, everything is looked at. */
  async #whenUp<Result>(ask: () => Promise<Result>): Promise<Result | undefined> {
    try {
      return await ask();
    } catch (error) {
      const { code, retryable } = classify(error);
      if (!retryable && code !== "BUS_NOT_FOUND" && code !== "BUS_CLOSED") throw error;
      this.#all = true;
      if (!this.#over) await this.#bell.wait(againMs);
      return undefined;
    }
  }

  async #next(): Promise<readonly StateChange[]> {
    if (this.#all) {
      this.#all = false;
      for (const key of this.#known.keys()) this.#moved.add(key);
      for await (const keys of keysOf(this.#session, this.#bucket, this.#prefix))
        for (const key of keys) this.#moved.add(key);
    }
    const now = this.#session.clock.ticks();
    for (const [key, { ends }] of this.#known) if (ends <= now) this.#moved.add(key);
    const keys = [...this.#moved].slice(0, readAtOnce);
    for (const key of keys) this.#moved.delete(key);
    // all or nothing: what is noted as known is told
    const found = await Promise.all(keys.map((key) => this.#session.run(getScript, [escapeName(this.#bucket), key])));
    return keys.map((key, index) => this.#noted(key, found[index]!)).filter((change) => change !== undefined);
  }

  #noted(key: string, reply: Reply): StateChange | undefined {
    const [revisionReply, ends, value] = listOf(reply);
    const revision = textOf(revisionReply);
    if (value === undefined) return this.#known.delete(key) ? { key, revision, value: undefined } : undefined;
    const left = textOf(ends);
    const known = this.#known.get(key);
    const until = left === "" ? Infinity : this.#session.clock.ticks() + Math.max(Number(left), 1);
    this.#known.set(key, { revision, ends: until });
    return known?.revision === revision ? undefined : { key, revision, value: new Uint8Array(value as Buffer) };
  }

  #untilNextEnd(): number {
    let next = Infinity;
    for (const { ends } of this.#known.values()) next = Math.min(next, ends);
    return Math.max(next - this.#session.clock.ticks(), 0);
  }
}
