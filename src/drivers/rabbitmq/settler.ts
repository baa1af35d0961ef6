import type { Settlement } from "../../driver.ts";
import type { RabbitMessage } from "./message.ts";
import { merged } from "./notes.ts";
import type { Shared } from "./shared.ts";
import { type CopyNote, storedProperties } from "./wire.ts";

/** Stores what a message becomes; the message itself is acknowledged when that is there. */
export async function settleOne(
  shared: Shared,
  group: string,
  seat: string,
  settlement: Settlement,
): Promise<"done" | "unknown"> {
  const message = settlement.message as RabbitMessage;
  const now = shared.session.clock.now();
  try {
    if (settlement.how === "dead") await shared.letters.put(settlement.letter);
    else {
      const { delayMs } = settlement;
      const h = merged(message.noted.headers, settlement.headers);
      const until = now + delayMs;
      const note: CopyNote =
        settlement.how === "retry"
          ? { a: settlement.attempts, h, ...(delayMs > 0 ? { d: until } : {}) }
          : { a: message.attempts, h, by: [...new Set([...(message.copy?.by ?? []), seat])], u: until };
      await give(shared, group, message, note);
    }
    return "done";
  } catch {
    return "unknown"; // the message stays
  }
}

/** A copy of it by the group's own lane. */
export async function give(shared: Shared, group: string, message: RabbitMessage, note: CopyNote): Promise<void> {
  const { clock } = shared.session;
  const base = message.id.split("+", 1)[0]!;
  const brokerId = `${base}+${Math.floor(clock.random() * 2 ** 32).toString(36)}`;
  const properties = storedProperties(
    { brokerId, key: message.key, expiresAt: message.expiresAt, headers: message.own() },
    message.publishedAt,
    `${message.number}.${message.topic}`,
    undefined,
    note,
  );
  await shared.lanes.put(group, message.body, properties, note.d);
}
