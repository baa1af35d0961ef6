/** Bare RabbitMQ, publish: encode, publish to a quorum queue with confirms, a window at a time. */
import { envelopes } from "../message.ts";
import { inWindows, type Open, rate } from "../side.ts";
import { freshQueue, openClient, publish } from "./rabbitmq-client.ts";

export const open: Open = ({ messages, window, bytes, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const client = await openClient(url);
      const channel = await client.createConfirmChannel();
      const queue = await freshQueue(channel);
      const sample = await rate(messages, () =>
        inWindows(messages, window, (at) => publish(channel, queue, JSON.stringify(envelope(at)))),
      );
      await channel.deleteQueue(queue);
      await client.close();
      return sample;
    },
  };
};
