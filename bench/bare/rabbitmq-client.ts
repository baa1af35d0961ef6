import { randomUUID } from "node:crypto";
import { type Channel, type ChannelModel, type ConfirmChannel, connect, type ConsumeMessage } from "amqplib";

/** Without `noDelay` each turn waits for the server's delayed acknowledgement of what it sent. */
export function openClient(url: string | undefined): Promise<ChannelModel> {
  return connect(url!, { noDelay: true });
}

/** A quorum queue, as a group's is. */
export async function freshQueue(channel: Channel): Promise<string> {
  const name = `bare-${randomUUID()}`;
  await channel.assertQueue(name, { durable: true, arguments: { "x-queue-type": "quorum" } });
  return name;
}

/** Resolves when it is confirmed: stored by the quorum. */
export function publish(channel: ConfirmChannel, queue: string, body: string): Promise<void> {
  return new Promise((resolve, reject) => {
    channel.sendToQueue(queue, Buffer.from(body), { persistent: true }, (error: unknown) =>
      error === null ? resolve() : reject(error as Error),
    );
  });
}

const acknowledgedTogether = 64;

/** Parses, awaits the handler, acknowledges up to each 64th, and resolves with the last of them. */
export async function handleAll(
  channel: Channel,
  queue: string,
  messages: number,
  handler: (event: unknown) => Promise<void>,
): Promise<void> {
  const all = Promise.withResolvers<void>();
  let handled = 0;
  const take = async (message: ConsumeMessage): Promise<void> => {
    await handler(JSON.parse(message.content.toString()));
    handled += 1;
    if (handled % acknowledgedTogether === 0 || handled === messages) channel.ack(message, true);
    if (handled === messages) all.resolve();
  };
  const { consumerTag } = await channel.consume(queue, (message) => void (message === null || take(message)));
  await all.promise;
  await channel.cancel(consumerTag); // answered after the acknowledgements before it were read
}
