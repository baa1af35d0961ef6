import { randomUUID } from "node:crypto";
import { AckPolicy, type Consumer, jetstream, jetstreamManager, StorageType } from "@nats-io/jetstream";
import { connect, createInbox, headers, type NatsConnection } from "@nats-io/transport-node";

export function openClient(url: string | undefined): Promise<NatsConnection> {
  return connect({ servers: url! });
}

/** A stream in a file, as ours, which remembers ids for two minutes. */
export async function freshStream(
  client: NatsConnection,
): Promise<{ readonly subject: string; readonly consumer: () => Promise<Consumer> }> {
  const name = `bare-${randomUUID()}`;
  const manager = await jetstreamManager(client);
  await manager.streams.add({
    name,
    subjects: [`${name}.>`],
    storage: StorageType.File,
    duplicate_window: 120_000_000_000,
  });
  return {
    subject: `${name}.order`,
    consumer: async () => {
      const config = { durable_name: "bench", ack_policy: AckPolicy.Explicit, max_ack_pending: 10_000 };
      await manager.consumers.add(name, config);
      return jetstream(client).consumers.get(name, "bench");
    },
  };
}

/** By which the server knows a message that it has already. */
export const idOf = (at: number): string => `0198f0c2-7d1e-7c3a-9d6b-${String(at).padStart(12, "0")}`;

/** Publishes with acknowledgement: the answers of all come to one subscription, which costs a quarter of `js.publish`. */
export function acknowledged(client: NatsConnection): (subject: string, body: string, at: number) => Promise<void> {
  const inbox = `${createInbox()}.`;
  const open = new Map<number, { readonly resolve: () => void; readonly reject: (error: Error) => void }>();
  client.subscribe(`${inbox}*`, {
    callback: (_, message) => {
      const token = Number(message.subject.slice(inbox.length));
      const waiting = open.get(token);
      open.delete(token);
      const { error } = message.json<{ readonly error?: { readonly description: string } }>();
      if (error === undefined) waiting?.resolve();
      else waiting?.reject(new Error(error.description));
    },
  });
  let next = 0;
  return (subject, body, at) =>
    new Promise<void>((resolve, reject) => {
      const token = next++;
      open.set(token, { resolve, reject });
      const id = headers();
      id.set("Nats-Msg-Id", idOf(at));
      client.publish(subject, body, { headers: id, reply: inbox + token });
    });
}
