/** Bare Kafka, publish: encode, `send` of 256, idempotent, acks of all, one in flight. */
import { envelopes } from "../message.ts";
import { type Open, rate } from "../side.ts";
import { freshTopic, openSender, sendAll } from "./kafka-client.ts";

export const open: Open = ({ messages, bytes, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const { topic, remove } = await freshTopic(url);
      const sender = openSender(url, topic);
      const sample = await rate(messages, () => sendAll(sender, messages, (at) => JSON.stringify(envelope(at))));
      await sender.close();
      await remove();
      return sample;
    },
  };
};
