/** Bare NATS, both at once: a consumer with a callback beside windows of acknowledged publishes. */
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
      const all = Promise.withResolvers<void>();
      let handled = 0;
      const handler = async (event: unknown): Promise<void> => void (handled += event === null ? 0 : 1);
      const take = async (message: JsMsg): Promise<void> => {
        await handler(message.json());
        message.ack();
        if (handled === messages) all.resolve();
      };
      const group = await consumer();
      const consumption = await group.consume({ max_messages: 2 * window, callback: (message) => void take(message) });
      const sample = await rate(messages, async () => {
        await inWindows(messages, window, (at) => publish(subject, JSON.stringify(envelope(at)), at));
        await all.promise;
      });
      void consumption.close();
      await client.close();
      return sample;
    },
  };
};
