/** Bare NATS, latency: an acknowledged publish, `consume` hands it to a callback, parse, call the handler, acknowledge. */
import { latencies } from "../latency.ts";
import { envelopes } from "../message.ts";
import type { Open } from "../side.ts";
import { acknowledged, freshStream, openClient } from "./nats-client.ts";

export const open: Open = (settings) => {
  const envelope = envelopes(settings.bytes);
  return {
    round: async () => {
      const client = await openClient(settings.url);
      const { subject, consumer } = await freshStream(client);
      const publish = acknowledged(client);
      let began: (at: number) => void = () => {};
      const group = await consumer();
      const consumption = await group.consume({
        callback: (message) => {
          if (message.json() !== null) began(performance.now());
          message.ack();
        },
      });
      const sample = await latencies(settings, async (at) => {
        const handled = new Promise<number>((resolve) => (began = resolve));
        const started = performance.now();
        const receipt = publish(subject, JSON.stringify(envelope(at)), at);
        const micros = ((await handled) - started) * 1_000;
        await receipt;
        return micros;
      });
      void consumption.close();
      await client.close();
      return sample;
    },
  };
};
