import { isMissing } from "./errors.ts";
import { Holder } from "./holder.ts";
import type { Session } from "./session.ts";
import { markOf, type WireHeaders } from "./wire.ts";

const againMs = 500;

/** What the server dropped of a group's queues, because it was too old or too much: it comes here, and is said by one member. */
export class LostLetters {
  readonly #session: Session;
  readonly #queue: string;
  readonly #say: (reason: string) => void;
  readonly #hadPast: (stream: string, id: string) => boolean;
  #holder: Holder | undefined;
  #retry: Disposable | undefined;
  #said = new Set<string>();
  #closed = false;

  constructor(
    session: Session,
    group: string,
    say: (reason: string) => void,
    hadPast: (stream: string, id: string) => boolean,
  ) {
    this.#hadPast = hadPast;
    this.#session = session;
    this.#queue = session.names.dropped(group);
    this.#say = say;
  }

  async open(): Promise<void> {
    if (this.#closed) return;
    const holder = await Holder.open(this.#session, {
      message: (raw) => {
        const { fields, properties } = raw;
        holder.done(fields.deliveryTag);
        const { s = "" } = (properties.headers ?? {}) as WireHeaders;
        const m = markOf(raw);
        // a token that had a past before it
        if (m !== undefined && (m !== "token" || !this.#hadPast(s, properties.messageId ?? ""))) return;
        const death = properties.headers?.["x-first-death-reason"];
        this.#tell(death === "expired" ? "older than its stream keeps" : "more than its stream keeps");
      },
      ended: () => this.#again(),
      cancelled: () => undefined, // with its group
    });
    this.#holder = holder;
    if (this.#closed) return void holder.close();
    try {
      await holder.consume(this.#queue, 200);
    } catch (error) {
      await holder.close();
      if (!isMissing(error)) throw error; // a group that says nothing of it
    }
  }

  close(): void {
    this.#closed = true;
    this.#retry?.[Symbol.dispose]();
    void this.#holder?.close();
  }

  /** Once for what came together. */
  #tell(reason: string): void {
    if (this.#said.has(reason)) return;
    this.#said.add(reason);
    this.#session.clock.soon(() => {
      this.#said.delete(reason);
      if (!this.#closed) this.#say(reason);
    });
  }

  #again(): void {
    if (this.#closed) return;
    this.#retry?.[Symbol.dispose](); // a channel that ends while it begins to consume says so twice
    this.#retry = this.#session.clock.after(againMs, () => {
      this.open().catch(() => this.#again());
    });
  }
}
