/** Bare Kafka, consume: the client's stream, parse, await the handler, commit each 256th. */
import { envelopes } from "../message.ts";
import { type Open, rate } from "../side.ts";
import { freshTopic, openSender, sendAll } from "./kafka-client.ts";
import { openReader } from "./kafka-reader.ts";

export const open: Open = ({ messages, window, bytes, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const { topic, remove } = await freshTopic(url);
      const sender = openSender(url, topic);
      await sendAll(sender, messages, (at) => JSON.stringify(envelope(at)));
      const { stream, close } = await openReader(url, topic);
      let handled = 0;
      const handler = async (event: unknown): Promise<void> => void (handled += event === null ? 0 : 1);
      const sample = await rate(messages, async () => {
        let committed: void | Promise<void> = undefined;
        for await (const message of stream) {
          await handler(JSON.parse(message.value.toString()));
          if (handled % window !== 0 && handled !== messages) continue;
          await committed;
          committed = message.commit() as void | Promise<void>;
          if (handled === messages) break;
        }
        await committed;
      });
      await close();
      await sender.close();
      await remove();
      return sample;
    },
  };
};
