import type { ClientMessage } from "./client.ts";
import { NoAnswer } from "./errors.ts";

/** Who waits for an answer; exactly one of the two is called, once. */
export interface Waiting {
  answered(message: ClientMessage): void;
  /** `written` false: it was certainly never sent. */
  lost(written: boolean, error: unknown): void;
  /** Set by the inbox: the subject it was sent to, by which a refusal finds it. */
  subject?: string;
}

/** One subscription for the answers to everything that is sent: the token at the end of the subject says whose it is. */
export class AckInbox {
  readonly #open = new Map<number, Waiting>();
  readonly #start: number;
  #next = 0;
  readonly prefix: string;

  constructor(prefix: string) {
    this.prefix = `${prefix}.`;
    this.#start = this.prefix.length;
  }

  get size(): number {
    return this.#open.size;
  }

  /** The subject for one answer. */
  add(subject: string, waiting: Waiting): string {
    const token = this.#next;
    this.#next += 1;
    waiting.subject = subject;
    this.#open.set(token, waiting);
    return this.prefix + token;
  }

  readonly take = (message: ClientMessage): void => {
    const token = Number(message.subject.slice(this.#start));
    const waiting = this.#open.get(token);
    if (waiting === undefined) return; // late: given up before
    this.#open.delete(token);
    waiting.answered(message);
  };

  /** No answer is awaited any more. */
  drop(reply: string): void {
    this.#open.delete(Number(reply.slice(this.#start)));
  }

  /** The server says of a subject only that it may not be published to: that is the oldest that waits for it. */
  refused(subject: string, error: unknown): void {
    for (const [token, waiting] of this.#open)
      if (waiting.subject === subject) {
        this.#open.delete(token);
        waiting.lost(false, error);
        return;
      }
  }

  /** The connection went: whatever was written may have arrived. */
  lost(cause: unknown): void {
    if (this.#open.size === 0) return;
    const open = [...this.#open.values()];
    this.#open.clear();
    const error = new NoAnswer("the connection was lost before the answer", true, { cause });
    for (const waiting of open) waiting.lost(true, error);
  }
}
