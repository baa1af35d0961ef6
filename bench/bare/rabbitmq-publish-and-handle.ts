/** Bare RabbitMQ, both at once: a consumer on a connection of its own beside windows of confirmed publishes. */
import { envelopes } from "../message.ts";
import { inWindows, type Open, rate } from "../side.ts";
import { freshQueue, handleAll, openClient, publish } from "./rabbitmq-client.ts";

export const open: Open = ({ messages, window, bytes, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const [client, other] = await Promise.all([openClient(url), openClient(url)]);
      const [channel, reader] = await Promise.all([client.createConfirmChannel(), other.createChannel()]);
      const queue = await freshQueue(channel);
      await reader.prefetch(2 * window);
      let handled = 0;
      const handler = async (event: unknown): Promise<void> => void (handled += event === null ? 0 : 1);
      const send = (at: number): Promise<void> => publish(channel, queue, JSON.stringify(envelope(at)));
      const sample = await rate(messages, () =>
        Promise.all([handleAll(reader, queue, messages, handler), inWindows(messages, window, send)]),
      );
      await channel.deleteQueue(queue);
      await Promise.all([client.close(), other.close()]);
      return sample;
    },
  };
};
