import type { Address, Headers, OutMessage } from "../../driver.ts";
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
  readonly revision: number;
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
};

/** When the message is due, as a listing of headers shows it. */
export const dueOf = ({ headers }: Pick<BucketEntry, "headers">): number => Number(valueOf(headers, dueHeader) ?? 0);

/**
 * Messages for later at a server without schedules (below 2.12). They wait in the bucket; one process of all moves what is due,
 * publishing it under its own `brokerId` before it takes the entry away: a crash between the two, or two who move at once, make
 * a duplicate, which the server drops within its window.
 */
export class Delayed {
  readonly #parts: Parts;
  readonly #send: (batch: readonly OutMessage[]) => void;
  readonly #revisions = new Map<string, number>();
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
    const put = bucket.put(keyOf(message), message.body, { expect: 0, headers: keptHeaders(message) });
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
    this.#revisions.clear();
    this.#heap.clear();
  }

  #entry(entry: BucketEntry): void {
    if (entry.value === undefined) return void this.#revisions.delete(entry.key);
    this.#revisions.set(entry.key, entry.revision);
    this.#put(dueOf(entry), entry);
  }

  #put(at: number, { key, revision }: Due): void {
    this.#heap.add(at, { key, revision });
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
      if (this.#revisions.get(next.key) === next.revision) due.push(next); // else it was replaced or moved
    }
    if (due.length === 0) return this.#arm();
    this.#moving = due.length;
    void this.#move(due);
  }

  async #move(due: readonly Due[]): Promise<void> {
    const found = await Promise.allSettled(due.map(({ key }) => this.#parts.bucket.get(key)));
    const batch: OutMessage[] = [];
    for (const [index, each] of due.entries()) {
      const read = found[index]!;
      if (read.status === "rejected") this.#moved(each, againMs);
      else if (read.value?.revision !== each.revision) this.#gone(each);
      else {
        const message = this.#messageOf(each, read.value);
        if (message === undefined) this.#gone(each);
        else batch.push(message);
      }
    }
    if (batch.length > 0) this.#send(batch);
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
    if (this.#revisions.get(due.key) === due.revision) this.#revisions.delete(due.key);
    this.#moved(due, undefined);
  }

  #moved(due: Due, againInMs: number | undefined): void {
    if (againInMs !== undefined && this.#watch !== undefined)
      this.#heap.add(this.#parts.session.clock.now() + againInMs, due);
    this.#moving -= 1;
    if (this.#moving === 0) this.#run();
  }
}

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
  ];
}

function keptOf(headers: Headers): Kept | undefined {
  try {
    return JSON.parse(valueOf(headers, keptHeader) ?? "") as Kept;
  } catch {
    return undefined;
  }
}
