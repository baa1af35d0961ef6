/** Bare RabbitMQ, a backlog: a window ahead, a slow handler for each. */
import { setTimeout as wait } from "node:timers/promises";
import { envelopes } from "../message.ts";
import { inWindows, type Open } from "../side.ts";
import { freshQueue, openClient, publish } from "./rabbitmq-client.ts";

export const open: Open = ({ messages, bytes, window, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const client = await openClient(url);
      const channel = await client.createConfirmChannel();
      const queue = await freshQueue(channel);
      await inWindows(messages, 1_024, (at) => publish(channel, queue, JSON.stringify(envelope(at))));
      await channel.prefetch(window);
      const cpu = process.cpuUsage();
      let handled = 0;
      const { consumerTag } = await channel.consume(queue, async (message) => {
        if (message === null) return;
        await wait(JSON.parse(message.content.toString()) === null ? 0 : 2);
        channel.ack(message);
        handled += 1;
      });
      await wait(1_000);
      await channel.cancel(consumerTag);
      globalThis.gc?.();
      const { user, system } = process.cpuUsage(cpu);
      const value = process.memoryUsage.rss() / 2 ** 20;
      await channel.deleteQueue(queue);
      await client.close();
      return { value, cpuMicros: (user + system) / handled };
    },
  };
};
