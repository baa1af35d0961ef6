/** Bare NATS, consume: `consume` with a callback, which parses, awaits the handler and acknowledges; as many ahead as ours. */
import type { JsMsg } from "@nats-io/jetstream";
import { envelopes } from "../message.ts";
import { inWindows, type Open, rate } from "../side.ts";
import { acknowledged, freshStream, openClient } from "./nats-client.ts";

export const open: Open = ({ messages, window, bytes, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const client = await openClient(url);
      const { subject, consumer } = await freshStream(client);
      const publish = acknowledged(client);
      await inWindows(messages, 1_024, (at) => publish(subject, JSON.stringify(envelope(at)), at));
      const group = await consumer();
      let handled = 0;
      const handler = async (event: unknown): Promise<void> => void (handled += event === null ? 0 : 1);
      const sample = await rate(messages, async () => {
        const all = Promise.withResolvers<void>();
        const take = async (message: JsMsg): Promise<void> => {
          await handler(message.json());
          message.ack();
          if (handled === messages) all.resolve();
        };
        const consumption = await group.consume({
          max_messages: 2 * window,
          callback: (message) => void take(message),
        });
        await all.promise;
        await client.flush();
        void consumption.close();
      });
      await client.close();
      return sample;
    },
  };
};
