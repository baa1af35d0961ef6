/** Bare RabbitMQ, latency: a confirmed publish, and a consumer on a connection of its own parses, calls the handler, acknowledges. */
import { latencies } from "../latency.ts";
import { envelopes } from "../message.ts";
import type { Open } from "../side.ts";
import { freshQueue, openClient, publish } from "./rabbitmq-client.ts";

export const open: Open = (settings) => {
  const envelope = envelopes(settings.bytes);
  return {
    round: async () => {
      const [client, other] = await Promise.all([openClient(settings.url), openClient(settings.url)]);
      const [channel, reader] = await Promise.all([client.createConfirmChannel(), other.createChannel()]);
      const queue = await freshQueue(channel);
      let began: (at: number) => void = () => {};
      await reader.prefetch(256);
      await reader.consume(queue, (message) => {
        if (message === null) return;
        if (JSON.parse(message.content.toString()) !== null) began(performance.now());
        reader.ack(message);
      });
      const sample = await latencies(settings, async (at) => {
        const handled = new Promise<number>((resolve) => (began = resolve));
        const started = performance.now();
        const confirmed = publish(channel, queue, JSON.stringify(envelope(at)));
        const micros = ((await handled) - started) * 1_000;
        await confirmed;
        return micros;
      });
      await channel.deleteQueue(queue);
      await Promise.all([client.close(), other.close()]);
      return sample;
    },
  };
};
