import type { Note as CoreNote, StoredMessage } from "../../driver.ts";
import { statusOf } from "./headers.ts";
import { storeLetter } from "./letters.ts";
import { type Delivery, type NatsMessage, type NoteData, parseReply } from "./message.ts";
import { mergedHeaders, Notes } from "./notes.ts";
import type { Shared } from "./shared.ts";

const encoder = new TextEncoder();
const ack = encoder.encode("+ACK");
const working = encoder.encode("+WPI");
const nak = encoder.encode("-NAK");
/** How many of the last acknowledgements are sent once more after a reconnect: the server may have forgotten them. */
const remembered = 4_096;

const nakAfter = (delayMs: number): Uint8Array =>
  delayMs <= 0 ? nak : encoder.encode(`-NAK {"delay": ${Math.round(delayMs * 1e6)}}`);

/** Where a consumption keeps what it has in hand. */
export interface Hand {
  takeOut(message: NatsMessage): void;
  /** One that came again meanwhile takes its place; then this one is over. */
  putBack(message: NatsMessage): void;
}

/** The words that settle what was delivered to one consumption. What can't be written now is written after the reconnect. */
export class Settler {
  readonly notes: Notes;
  readonly #shared: Shared;
  readonly #noted = new WeakSet<NatsMessage>();
  readonly #recalled = new WeakSet<NatsMessage>();
  /** Subjects of acknowledgements, not the messages: their bodies are free to go. */
  readonly #ring: string[] = Array.from({ length: remembered }, () => "");
  #at = 0;
  #unsent: string[] = [];
  /** Of each consumer the last that was acknowledged without an answer. */
  readonly #last = new Map<string, string>();
  /** What was acknowledged before the connection was lost: delivered again, it is not handed out. */
  #before: ReadonlySet<string> = new Set();

  constructor(shared: Shared, group: string) {
    this.#shared = shared;
    this.notes = new Notes(shared, group);
  }

  /** The hot path: no answer. */
  ack(messages: readonly NatsMessage[]): void {
    const { session } = this.#shared;
    for (let index = 0; index < messages.length; index += 1) {
      const message = messages[index]!;
      const { reply } = message;
      this.#ring[this.#at] = reply;
      this.#at = (this.#at + 1) % remembered;
      this.#last.set(message.delivery.consumer, reply);
      if (!session.publish(reply, ack)) this.#unsent.push(reply);
      if (this.#noted.has(message)) this.notes.drop(message);
    }
  }

  /** The connection is back: what was acknowledged in the meantime, and shortly before. */
  again(): void {
    const { session } = this.#shared;
    const replies = new Set([...this.#unsent, ...this.#ring]);
    this.#unsent = [];
    const settled = new Set<string>();
    for (const reply of replies) {
      const delivery = parseReply(reply);
      if (delivery === undefined) continue;
      settled.add(keyOf(delivery));
      if (!session.publish(reply, ack)) this.#unsent.push(reply);
    }
    this.#before = settled;
  }

  /** It was acknowledged here and the server forgot it: it is again now. */
  settledBefore(message: NatsMessage): boolean {
    if (this.#before.size === 0 || !this.#before.has(keyOf(message.delivery))) return false;
    this.#shared.session.publish(message.reply, ack);
    return true;
  }

  /** From now on it has what was noted of it; read once. */
  async recall(message: NatsMessage): Promise<void> {
    if (this.#recalled.has(message)) return;
    const note = await this.notes.read(message);
    this.#recalled.add(message);
    if (note === undefined) return;
    message.noted = note;
    this.#noted.add(message);
  }

  /** The message stays delivered; what is noted comes back with it. */
  async record({ message, attempts, notBefore, headers }: CoreNote): Promise<void> {
    const ours = message as NatsMessage;
    const note = { ...ours.noted, attempts, notBefore, headers: mergedHeaders(ours.noted.headers, headers) };
    await this.notes.write(ours, note);
    ours.noted = note;
    this.#noted.add(ours);
  }

  /** It comes again after the delay, and none of the deliveries so far counts; what was noted of it stays, but for the change. */
  async giveBack(
    message: NatsMessage,
    delayMs: number,
    change: Partial<Pick<NoteData, "attempts" | "headers" | "notBefore" | "by" | "until">> & {
      /** It did not run here: if it may have killed a process before, that stays so. */
      readonly unseen?: boolean;
    },
    hand?: Hand,
  ): Promise<void> {
    const { session } = this.#shared;
    const { delivery } = message;
    if (delivery.delivered > 1) await this.recall(message); // what was merely held back was not looked at yet
    const { noted } = message;
    const { headers = [], unseen = false, ...changes } = change;
    const note = {
      ...noted,
      ...changes,
      base: unseen && message.deliveries > 1 ? noted.base + 1 : delivery.delivered + message.handedBefore,
      headers: mergedHeaders(noted.headers, headers),
    };
    await this.notes.write(message, note, delayMs > 0 ? session.clock.now() + delayMs : undefined);
    // it may come again before the answer does, and a renewal behind the word would undo the delay
    hand?.takeOut(message);
    try {
      await session.ask(message.reply, nakAfter(delayMs));
    } catch (error) {
      hand?.putBack(message);
      throw error;
    }
  }

  /** At once, and counted: whoever gets it knows that it was with us. */
  abandon(messages: Iterable<NatsMessage>): void {
    for (const message of messages) this.#shared.session.publish(message.reply, nak);
  }

  /** The letter first; what is acknowledged afterwards comes at most once more. */
  async dead(message: NatsMessage, letter: StoredMessage): Promise<void> {
    await storeLetter(this.#shared, letter);
    this.ack([message]);
  }

  renew(messages: Iterable<NatsMessage>): void {
    const { session } = this.#shared;
    for (const message of messages) session.publish(message.reply, working);
  }

  /**
   * Resolves when every acknowledgement so far is at the server: it answers the last of each consumer, and takes them in order.
   * False: a consumer is gone, so they count for nothing.
   */
  async flush(): Promise<boolean> {
    if (this.#last.size === 0) return true;
    const last = [...this.#last];
    this.#last.clear();
    try {
      const answers = await Promise.all(last.map(([, reply]) => this.#shared.session.ask(reply, ack)));
      return answers.every((answer) => statusOf(answer) === 0);
    } catch (error) {
      for (const [consumer, reply] of last) if (!this.#last.has(consumer)) this.#last.set(consumer, reply);
      throw error;
    }
  }

  /** Its consumer is gone for good. */
  forget(consumer: string): void {
    this.#last.delete(consumer);
  }
}

const keyOf = ({ consumer, sequence }: Delivery): string => `${consumer}:${sequence}`;
