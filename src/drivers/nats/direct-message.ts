import { matchesPattern } from "../../internal/topic-trie.ts";
import type { ClientMessage } from "./client.ts";
import { type Delivery, NatsMessage, type Place } from "./message.ts";
import { afterTokens } from "./names.ts";

const once: Delivery = {
  stream: "",
  consumer: "",
  delivered: 1,
  sequence: 0,
  consumerSequence: 0,
  timeMs: 0,
  pending: 0,
};
const direct: Place = { lane: "direct", partition: undefined, topic: (subject) => afterTokens(subject, 2) };
const inbox: Place = { lane: "inbox", partition: undefined, topic: () => "" };

/** Stored nowhere: nothing of it can be settled, and who asks is answered at the subject that NATS itself knows for it. */
export class DirectMessage extends NatsMessage {
  readonly #replyTo: string | undefined;

  constructor(raw: ClientMessage, as: "request" | "message" | "answer") {
    super(raw, once, as === "answer" ? inbox : direct);
    this.#replyTo = as === "request" ? raw.reply : undefined;
  }

  /** Of a request alone: what is merely listened to is answered to nobody, whatever reply it names. */
  override get replyTo(): string | undefined {
    return this.#replyTo;
  }
}

/**
 * Where an answer may go. A requester names any subject it likes, and we publish there with our own rights: so never to the
 * server's API, and never into a stream of the bus: `captured` are the subjects of those that it was given.
 */
export function isAnswerable(reply: string, prefix: string, captured: readonly string[] = []): boolean {
  if (reply === "" || reply.startsWith("$") || /[\s*>]/.test(reply)) return false;
  if (reply.startsWith(`${prefix}.`)) return reply.startsWith(`${prefix}.i.`);
  return !captured.some((subject) => matchesPattern(subject, reply));
}
