import type { ClientMessage } from "./client.ts";
import { NoAnswer } from "./errors.ts";

/** Who waits for an answer; exactly one of the two is called, once. */
export interface Waiting {
  answered(message: ClientMessage): void;
  /** `written` false: it was certainly never sent. */
  lost(written: boolean, error: unknown): void;
  /** Set by the inbox: the subject it was sent to, by which a refusal finds it. */
  subject?: string;
  /** Of one that has no time-out of its own: when it was sent, in ticks. */
  since?: number;
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

  /** What is sent from now on has this number or a higher one. */
  get next(): number {
    return this.#next;
  }

  /** When the oldest was sent of those without a time-out of their own. */
  get oldest(): number | undefined {
    for (const { since } of this.#open.values()) if (since !== undefined) return since;
    return undefined;
  }

  /** The subject for one answer. */
  add(subject: string, waiting: Waiting, since?: number): string {
    const token = this.#next;
    this.#next += 1;
    waiting.subject = subject;
    if (since !== undefined) waiting.since = since;
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

  /** The server answers these no more: it drops without a word what waited for a stream that was deleted. */
  overdue(by: number, text: string): void {
    for (const [token, waiting] of this.#open) {
      if (waiting.since === undefined) continue;
      if (waiting.since > by) return;
      this.#giveUp(token, waiting, text);
    }
  }

  /** Of those with a lower number, those that were sent to such subjects. */
  unanswered(before: number, subjects: string, text: string): void {
    for (const [token, waiting] of this.#open) {
      if (token >= before) return;
      if (waiting.subject?.startsWith(subjects) === true) this.#giveUp(token, waiting, text);
    }
  }

  #giveUp(token: number, waiting: Waiting, text: string): void {
    this.#open.delete(token);
    waiting.lost(true, new NoAnswer(text, true, { timedOut: true }));
  }

  /** The connection went: whatever was written may have arrived. */
  lost(cause: unknown): void {
    if (this.#open.size > 0) this.end(new NoAnswer("the connection was lost before the answer", true, { cause }));
  }

  /** No answer comes to any of them. */
  end(error: Error): void {
    const open = [...this.#open.values()];
    this.#open.clear();
    for (const waiting of open) waiting.lost(true, error);
  }
}
