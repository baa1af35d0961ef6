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
  constructor(raw: ClientMessage, toInbox: boolean) {
    super(raw, once, toInbox ? inbox : direct);
  }

  override get replyTo(): string | undefined {
    return this.reply === "" ? undefined : this.reply;
  }
}

/**
 * Where an answer may go. A requester names any subject it likes, and we publish there with our own rights: so never to the
 * server's API, and never into our own streams.
 */
export function isAnswerable(reply: string, prefix: string): boolean {
  if (reply === "" || reply.startsWith("$") || /[\s*>]/.test(reply)) return false;
  return !reply.startsWith(`${prefix}.`) || reply.startsWith(`${prefix}.i.`);
}
