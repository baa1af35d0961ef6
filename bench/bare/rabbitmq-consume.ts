/** Bare RabbitMQ, consume: twice the window ahead, parse, await the handler, acknowledge 64 together. */
import { envelopes } from "../message.ts";
import { inWindows, type Open, rate } from "../side.ts";
import { freshQueue, handleAll, openClient, publish } from "./rabbitmq-client.ts";

export const open: Open = ({ messages, window, bytes, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const client = await openClient(url);
      const channel = await client.createConfirmChannel();
      const queue = await freshQueue(channel);
      await inWindows(messages, 1_024, (at) => publish(channel, queue, JSON.stringify(envelope(at))));
      await channel.prefetch(2 * window);
      let handled = 0;
      const handler = async (event: unknown): Promise<void> => void (handled += event === null ? 0 : 1);
      const sample = await rate(messages, () => handleAll(channel, queue, messages, handler));
      await channel.deleteQueue(queue);
      await client.close();
      return sample;
    },
  };
};
