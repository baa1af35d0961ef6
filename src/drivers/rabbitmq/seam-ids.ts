import type { AmqpDelivery } from "./client.ts";
import { contentId } from "./message.ts";

/**
 * By what log and seam queue name the same message. Those that were published without an id and are equal in all are numbered: as
 * many as are live are live, whichever they are.
 */
export class SeamIds {
  readonly #counts = new Map<string, number>();

  of(message: AmqpDelivery): string {
    const { messageId } = message.properties;
    if (messageId !== undefined) return messageId;
    const id = contentId(message);
    const count = (this.#counts.get(id) ?? 0) + 1;
    this.#counts.set(id, count);
    return `${id} ${count}`;
  }
}
