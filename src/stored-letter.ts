import type { DriverConnection, StoredMessage } from "./driver.ts";
import type { open } from "./receiving.ts";
import type { Broker } from "./supervisor.ts";
import { header } from "./wire-names.ts";
import { wrapError } from "./wrap-error.ts";

export const headerOf = (stored: StoredMessage, name: string): string | undefined =>
  stored.headers.find(([each]) => each === name)?.[1];

/** Whether its key waits for it. */
export const doesHalt = (stored: StoredMessage): boolean =>
  stored.key !== undefined && headerOf(stored, header.letterHalts) !== undefined;

/** A letter as the decoder wants it. */
export const asMessage = (stored: StoredMessage): Parameters<typeof open>[1] => ({
  topic: stored.topic,
  body: stored.body,
  value: undefined,
  header: (name) => headerOf(stored, name),
  note: () => undefined,
  headers: () => stored.headers,
  key: stored.key,
  partition: undefined,
  position: stored.id,
  replyTo: undefined,
  lane: "queue",
  deliveries: 1,
  attempts: 0,
  notBefore: undefined,
});

/** Asks the broker, once connected; rejects with an error of the bus that says what for. */
export async function asked<Answer>(
  broker: Broker,
  what: string,
  ask: (connection: DriverConnection) => Promise<Answer>,
): Promise<Answer> {
  const connection = await broker.ready();
  try {
    return await ask(connection);
  } catch (error) {
    throw wrapError(broker.driver, what, error);
  }
}
