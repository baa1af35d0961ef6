import { Fifo } from "../../internal/fifo.ts";
import { isMissing, replyCode } from "./errors.ts";
import type { Holder } from "./holder.ts";
import type { RabbitMessage } from "./message.ts";
import type { Session } from "./session.ts";

const againMs = 100;

interface PastOf {
  /** The group is as it was when its member began: what is not there of its past was handled. */
  isOurs(): Promise<boolean>;
  /** All of it is handled. */
  caughtUp(): Promise<void>;
}

/**
 * Before what is live in a partition's queue stands a token, behind which its history is read from another queue. Both are on one
 * channel: when its owner dies token and history return in one step, and the next owner begins with the token.
 */
export class HistoryGate {
  /** Live ones, until the history was handed out. */
  readonly waiting: Fifo<RabbitMessage> = new Fifo();
  readonly #session: Session;
  readonly #holder: Holder;
  readonly #token: number;
  readonly #queue: string;
  readonly #group: PastOf;
  readonly #open = new Set<RabbitMessage>();
  #end: number | undefined;
  #closed = true;

  constructor(session: Session, holder: Holder, token: number, queue: string, group: PastOf) {
    this.#group = group;
    this.#session = session;
    this.#holder = holder;
    this.#token = token;
    this.#queue = queue;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get isOver(): boolean {
    return this.#end !== undefined && this.#open.size === 0;
  }

  /** False: the history was read to its end before. */
  async read(prefetch: number): Promise<boolean> {
    for (;;) {
      try {
        await this.#session.ask((channel) => channel.checkQueue(this.#queue));
        break;
      } catch (error) {
        if (isMissing(error) && (await this.#isOurs())) return false; // deleted by who read it
      }
      await this.#later();
      if (!this.#holder.alive || this.#session.closed) return true; // the next owner looks
    }
    if (this.#holder.alive) await this.#holder.consume(this.#queue, prefetch).catch(() => undefined); // the channel is gone
    return true;
  }

  took(message: RabbitMessage): void {
    this.#open.add(message);
  }

  /** All of it was handed to us. What waited for that. */
  end(tag: number): readonly RabbitMessage[] {
    this.#end = tag;
    const waiting = this.#lift();
    this.#finish();
    return waiting;
  }

  /** There is no history. */
  skip(): readonly RabbitMessage[] {
    void this.#forgetToken();
    return this.#lift();
  }

  /** True: the history is over. */
  settled(message: RabbitMessage): boolean {
    if (!this.#open.delete(message)) return false;
    this.#finish();
    return this.isOver;
  }

  async #forgetToken(): Promise<void> {
    while (this.#holder.alive)
      try {
        await this.#group.caughtUp();
        return this.#holder.done(this.#token);
      } catch {
        await this.#later(); // it can't be said now
      }
  }

  #lift(): readonly RabbitMessage[] {
    this.#closed = false;
    const waiting = [...this.waiting];
    while (this.waiting.length > 0) this.waiting.shift();
    return waiting;
  }

  /** Its end is acknowledged last: who follows finds it, or no queue at all. */
  #finish(): void {
    if (this.isOver) void this.#deleteAll();
  }

  async #deleteAll(): Promise<void> {
    await this.#holder.flush();
    while (this.#holder.alive)
      try {
        await this.#session.ask((channel) => channel.deleteQueue(this.#queue));
        this.#holder.done(this.#end!);
        return await this.#forgetToken();
      } catch (error) {
        if (replyCode(error) === 403) return await this.#leaveQueue(); // who may not delete
        await this.#later(); // it can't be deleted now
      }
  }

  /** Empty; whoever may delete it does so with the group's past. */
  async #leaveQueue(): Promise<void> {
    await this.#forgetToken();
    this.#holder.done(this.#end!);
  }

  async #isOurs(): Promise<boolean> {
    try {
      return await this.#group.isOurs();
    } catch {
      return false; // not known now: asked again
    }
  }

  #later(): Promise<void> {
    return new Promise((resolve) => void this.#session.clock.after(againMs, resolve));
  }
}
