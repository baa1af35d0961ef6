/** Bare Kafka, both at once: the client's stream beside batches of 256, one in flight. */
import { envelopes } from "../message.ts";
import { type Open, rate } from "../side.ts";
import { freshTopic, openSender, sendAll } from "./kafka-client.ts";
import { openReader } from "./kafka-reader.ts";

export const open: Open = ({ messages, bytes, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const { topic, remove } = await freshTopic(url);
      const sender = openSender(url, topic);
      const { stream, close } = await openReader(url, topic);
      let handled = 0;
      const handler = async (event: unknown): Promise<void> => void (handled += event === null ? 0 : 1);
      const consume = async (): Promise<void> => {
        let committed: void | Promise<void> = undefined;
        for await (const message of stream) {
          await handler(JSON.parse(message.value.toString()));
          if (handled % 256 !== 0 && handled !== messages) continue;
          await committed;
          committed = message.commit() as void | Promise<void>;
          if (handled === messages) break;
        }
        await committed;
      };
      const publish = (): Promise<void> => sendAll(sender, messages, (at) => JSON.stringify(envelope(at)));
      const sample = await rate(messages, () => Promise.all([consume(), publish()]));
      await close();
      await sender.close();
      await remove();
      return sample;
    },
  };
};
