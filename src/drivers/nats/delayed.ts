import type { Address, Headers, OutMessage, ScheduledMessage } from "../../driver.ts";
import { duePlaceOf, duePlaceText } from "../../internal/due-place.ts";
import type { Api } from "./api.ts";
import type { Bucket, BucketEntry, BucketWatch } from "./bucket.ts";
import { DueHeap } from "./due-heap.ts";
import { classify, isApiError, NoAnswer } from "./errors.ts";
import { valueOf } from "./message.ts";
import { encodeToken } from "./names.ts";
import type { Session } from "./session.ts";

interface Parts {
  readonly session: Session;
  readonly api: Api;
  readonly bucket: Bucket;
}

interface Due {
  readonly key: string;
  revision: number;
}

/** Everything of a message but its body. */
interface Kept {
  readonly to: Extract<Address, { readonly kind: "topic" | "queue" }>;
  readonly id: string;
  readonly brokerId: string;
  readonly key?: string;
  readonly hash: number;
  readonly notBefore: number;
  readonly expiresAt?: number;
  readonly durable: boolean;
  readonly priority: number;
  readonly headers: Headers;
}

const keptHeader = "Omnibus-Delayed";
const dueHeader = "Omnibus-Due";
/** Marks what a process is about to publish: from then on nobody takes it back. */
const takenHeader = "Omnibus-Taken";
const taken = "1";
/** As long as what a later write of the entry needs besides, so that what fits once fits twice. */
const notTaken = "0".repeat(24);
/** What another process has taken may be published in a moment. */
const graceMs = 2_000;
const moveAtOnce = 256;
/** The wall clock may jump. */
const longestWaitMs = 30_000;
const againMs = 1_000;
/** After what does not pass by waiting: its stream is gone. */
const muchLaterMs = 30_000;

/** Keys of what is published to a stream, or sent to a queue, for later; the last token is the topic. */
export const delayedKeys = {
  all: "d.>",
  ofStream: (stream: string): string => `d.s.${stream}.>`,
  ofGroup: (group: string): string => `d.q.${group}.>`,
  ofId: (id: string): string => `d.*.*.${encodeToken(id)}.*`,
};

/** When the message is due, as a listing of headers shows it. */
export const dueOf = ({ headers }: Pick<BucketEntry, "headers">): number => Number(valueOf(headers, dueHeader) ?? 0);

/**
 * Messages for later. They wait in the bucket; one process of all moves what is due: it takes the entry, which only one can who knows
 * its revision, publishes it under its own `brokerId`, and takes the entry away. A crash before the last step, or two who move at
 * once, make a duplicate, which the server drops within its window. What is taken back goes by its revision too, before it is taken.
 */
export class Delayed {
  readonly #parts: Parts;
  readonly #send: (batch: readonly OutMessage[]) => void;
  readonly #entries = new Map<string, { readonly at: number; readonly revision: number }>();
  readonly #underWay = new Set<string>();
  readonly #heap = new DueHeap<Due>();
  #watch: BucketWatch | undefined;
  #timer: Disposable | undefined;
  #armed = Number.POSITIVE_INFINITY;
  #moving = 0;

  constructor(parts: Parts, send: (batch: readonly OutMessage[]) => void) {
    this.#parts = parts;
    this.#send = send;
  }

  /** Completes the message. */
  later(message: OutMessage): void {
    const { bucket } = this.#parts;
    // what was moved leaves no mark, so a mark is of one that was taken back: a second try doesn't bring it to life again
    const put = bucket.put(keyOf(message), message.body, { expect: 0, once: true, headers: keptHeaders(message) });
    put.then(
      (revision) => message.stored(undefined, revision === undefined),
      (error: unknown) => {
        const never = isApiError(error) || (error instanceof NoAnswer ? !error.written : true);
        message.failed(never ? "no" : "unknown", error);
      },
    );
  }

  /** Whether this process moves what is due. */
  lead(leads: boolean): void {
    if (leads === (this.#watch !== undefined)) return;
    if (!leads) return this.close();
    const watch = this.#parts.bucket.watch(
      [delayedKeys.all],
      { entry: (entry) => this.#entry(entry), ended: () => this.lead(false) },
      true,
    );
    this.#watch = watch;
    watch.ready.catch(() => {
      if (this.#watch === watch) this.lead(false); // the next look tries again
    });
  }

  close(): void {
    this.#watch?.close();
    this.#watch = undefined;
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#armed = Number.POSITIVE_INFINITY;
    this.#entries.clear();
    this.#underWay.clear();
    this.#heap.clear();
  }

  /** Soonest first, of one time by their keys. */
  async list(after: string | undefined, limit: number): Promise<readonly ScheduledMessage[]> {
    const { due, rest } = duePlaceOf(after);
    const entries = await this.#parts.bucket.list(delayedKeys.all, true);
    const behind = entries
      .map((entry) => ({ entry, at: dueOf(entry) }))
      .filter(({ entry, at }) => at > due || (at === due && entry.key > rest))
      .toSorted((left, right) => left.at - right.at || (left.entry.key < right.entry.key ? -1 : 1));
    const found: ScheduledMessage[] = [];
    for (const { entry, at } of behind) {
      if (found.length === limit) break;
      const kept = keptOf(entry.headers);
      if (kept === undefined) continue; // another program's
      const position = duePlaceText({ due: at, rest: entry.key });
      found.push({ id: kept.id, topic: kept.to.topic, notBefore: at, position });
    }
    return found;
  }

  /** The ids of which something went that nobody has taken. */
  async cancel(ids: readonly string[]): Promise<readonly string[]> {
    const { bucket } = this.#parts;
    const gone = async (id: string): Promise<boolean> => {
      const entries = await bucket.list(delayedKeys.ofId(id), true);
      const free = entries.filter(({ headers }) => !isTaken(headers));
      const deleted = await Promise.all(free.map(({ key, revision }) => bucket.delete(key, revision)));
      return deleted.includes(true);
    };
    const cancelled = await Promise.all(ids.map(gone));
    return ids.filter((_, index) => cancelled[index]);
  }

  #entry(entry: BucketEntry): void {
    const { key, revision, value, headers } = entry;
    if (value === undefined) return void this.#entries.delete(key);
    const { clock } = this.#parts.session;
    const at = isTaken(headers) ? Math.max(dueOf(entry), clock.now() + graceMs) : dueOf(entry);
    this.#entries.set(key, { at, revision });
    if (!this.#underWay.has(key)) this.#put(at, { key, revision });
  }

  #put(at: number, due: Due): void {
    this.#heap.add(at, due);
    this.#arm();
  }

  #arm(): void {
    const { clock } = this.#parts.session;
    const { next } = this.#heap;
    if (this.#watch === undefined || next === undefined || this.#moving > 0 || next >= this.#armed) return;
    this.#timer?.[Symbol.dispose]();
    this.#armed = next;
    this.#timer = clock.after(Math.min(next - clock.now(), longestWaitMs), () => {
      this.#armed = Number.POSITIVE_INFINITY;
      this.#run();
    });
  }

  #run(): void {
    const now = this.#parts.session.clock.now();
    const due: Due[] = [];
    while (due.length < moveAtOnce) {
      const next = this.#heap.take(now);
      if (next === undefined) break;
      if (this.#entries.get(next.key)?.revision !== next.revision) continue; // it was replaced or moved
      this.#underWay.add(next.key);
      due.push(next);
    }
    if (due.length === 0) return this.#arm();
    this.#moving = due.length;
    void this.#move(due);
  }

  async #move(due: readonly Due[]): Promise<void> {
    const found = await Promise.allSettled(due.map((each) => this.#take(each)));
    const batch: OutMessage[] = [];
    for (const [index, each] of due.entries()) {
      const read = found[index]!;
      if (read.status === "rejected") this.#moved(each, againMs);
      else {
        const message = read.value === undefined ? undefined : this.#messageOf(each, read.value);
        if (message === undefined) this.#gone(each);
        else batch.push(message);
      }
    }
    if (batch.length > 0) this.#send(batch);
  }

  /** Undefined: it was taken back, moved, or taken by another just now. */
  async #take(due: Due): Promise<BucketEntry | undefined> {
    const { bucket } = this.#parts;
    const entry = await bucket.get(due.key);
    if (entry === undefined || entry.revision !== due.revision || isTaken(entry.headers))
      return entry?.revision === due.revision ? entry : undefined;
    const headers = entry.headers.filter(([name]) => name === dueHeader || name === keptHeader);
    const options = { expect: due.revision, headers: [...headers, [takenHeader, taken] as const] };
    const revision = await bucket.put(due.key, entry.value!, options);
    if (revision === undefined) return undefined;
    const known = this.#entries.get(due.key);
    if (known?.revision === due.revision) this.#entries.set(due.key, { ...known, revision });
    due.revision = revision;
    return entry;
  }

  #messageOf(due: Due, { headers, value }: BucketEntry): OutMessage | undefined {
    const kept = keptOf(headers);
    if (kept === undefined) return undefined; // another program's
    return {
      ...kept,
      key: kept.key,
      expiresAt: kept.expiresAt,
      replyTo: undefined,
      notBefore: undefined,
      body: value!,
      value: undefined,
      stored: () => void this.#remove(due),
      failed: (_, error) => this.#moved(due, classify(error).retryable ? againMs : muchLaterMs),
    };
  }

  async #remove(due: Due): Promise<void> {
    const { api, session } = this.#parts;
    try {
      await api.purge(session.names.bucketStream, { filter: session.names.key(due.key), seq: due.revision + 1 });
      this.#gone(due);
    } catch {
      this.#moved(due, againMs); // published once more, as a duplicate
    }
  }

  #gone(due: Due): void {
    if (this.#entries.get(due.key)?.revision === due.revision) this.#entries.delete(due.key);
    this.#moved(due, undefined);
  }

  #moved({ key }: Due, againInMs: number | undefined): void {
    this.#underWay.delete(key);
    const left = this.#entries.get(key); // it failed, or is another one by now
    if (left !== undefined && this.#watch !== undefined) {
      const at = againInMs === undefined ? left.at : this.#parts.session.clock.now() + againInMs;
      this.#heap.add(at, { key, revision: left.revision });
    }
    this.#moving -= 1;
    if (this.#moving === 0) this.#run();
  }
}

const isTaken = (headers: Headers): boolean => valueOf(headers, takenHeader) === taken;

function keyOf({ to, brokerId }: OutMessage): string {
  if (to.kind !== "topic" && to.kind !== "queue") throw new TypeError(`a ${to.kind} keeps nothing for later`);
  const place = to.kind === "topic" ? `s.${to.stream}` : `q.${to.group}`;
  return `d.${place}.${encodeToken(brokerId)}.${encodeToken(to.topic)}`;
}

function keptHeaders(message: OutMessage): Headers {
  const { to, id, brokerId, key, hash, notBefore, expiresAt, durable, priority, headers } = message;
  const kept = { to, id, brokerId, key, hash, notBefore, expiresAt, durable, priority, headers };
  return [
    [dueHeader, String(notBefore)],
    [keptHeader, JSON.stringify(kept)],
    [takenHeader, notTaken],
  ];
}

function keptOf(headers: Headers): Kept | undefined {
  try {
    return JSON.parse(valueOf(headers, keptHeader) ?? "") as Kept;
  } catch {
    return undefined;
  }
}
