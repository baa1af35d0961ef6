import { decodeHeaders, type Headers } from "./headers.ts";

type Lane = "stream" | "queue" | "direct" | "inbox";

export interface MessageParts {
  readonly seq: number;
  readonly topic: string;
  readonly key: string | null;
  readonly headers: string | null;
  readonly body: Uint8Array;
}
export interface Place {
  readonly lane: Lane;
  readonly partition: string | undefined;
  readonly deliveries: number;
  readonly attempts: number;
  readonly notBefore: number | undefined;
  /** What `record` and `settle` added, as JSON. */
  readonly notes: string | null;
  readonly replyTo?: string | undefined;
}

const first: Omit<Place, "lane" | "partition"> = { deliveries: 1, attempts: 0, notBefore: undefined, notes: null };

/** A row as the core sees it, an `InMessage`; `handle` is what the consumption that delivered it finds it by. */
export class RowMessage<Handle = unknown> {
  readonly topic: string;
  readonly body: Uint8Array;
  readonly value: unknown = undefined;
  readonly partition: string | undefined;
  readonly replyTo: string | undefined;
  readonly lane: Lane;
  readonly deliveries: number;
  readonly attempts: number;
  readonly notBefore: number | undefined;
  readonly seq: number;
  handle: Handle;
  /** Nothing more can become of it: it was settled, or is no longer ours. */
  over = false;
  readonly #key: string | null;
  readonly #headers: string | null;
  #notes: string | null;

  constructor(
    row: MessageParts,
    handle: Handle,
    lane: Lane,
    partition: string | undefined,
    place: Omit<Place, "lane" | "partition"> = first,
  ) {
    this.topic = row.topic;
    this.body = row.body;
    this.seq = row.seq;
    this.partition = partition;
    this.lane = lane;
    this.deliveries = place.deliveries;
    this.attempts = place.attempts;
    this.notBefore = place.notBefore;
    this.replyTo = place.replyTo;
    this.handle = handle;
    this.#key = row.key;
    this.#headers = row.headers;
    this.#notes = place.notes;
  }

  get key(): string | undefined {
    return this.#key ?? undefined;
  }

  get position(): string | undefined {
    return this.lane === "stream" || this.lane === "queue" ? String(this.seq) : undefined;
  }

  get size(): number {
    return this.body.byteLength;
  }

  /** What was recorded beside it is found in it from now on. */
  noted(headers: string | null): void {
    this.#notes = headers;
  }

  header(name: string): string | undefined {
    return (
      (this.#notes === null ? undefined : find(decodeHeaders(this.#notes), name)) ??
      find(decodeHeaders(this.#headers), name)
    );
  }

  note(name: string): string | undefined {
    return this.#notes === null ? undefined : find(decodeHeaders(this.#notes), name);
  }

  headers(): Headers {
    const own = decodeHeaders(this.#headers);
    if (this.#notes === null) return own;
    const notes = decodeHeaders(this.#notes);
    return [...own.filter(([name]) => find(notes, name) === undefined), ...notes];
  }
}

function find(headers: Headers, name: string): string | undefined {
  for (const [key, value] of headers) if (key === name) return value;
  return undefined;
}
