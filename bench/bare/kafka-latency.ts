/** Bare Kafka, latency: `send` of one, the client's stream parses, calls the handler, commits. */
import { latencies } from "../latency.ts";
import { envelopes } from "../message.ts";
import type { Open } from "../side.ts";
import { freshTopic, openSender } from "./kafka-client.ts";
import { openReader } from "./kafka-reader.ts";

export const open: Open = (settings) => {
  const envelope = envelopes(settings.bytes);
  return {
    round: async () => {
      const { topic, remove } = await freshTopic(settings.url);
      const sender = openSender(settings.url, topic);
      const { stream, close } = await openReader(settings.url, topic);
      let began: (at: number) => void = () => {};
      stream.on("data", (message) => {
        if (JSON.parse(message.value.toString()) !== null) began(performance.now());
        void message.commit();
      });
      const sample = await latencies(settings, async (at) => {
        const handled = new Promise<number>((resolve) => (began = resolve));
        const started = performance.now();
        const sent = sender.send([JSON.stringify(envelope(at))]);
        const micros = ((await handled) - started) * 1_000;
        await sent;
        return micros;
      });
      await close();
      await sender.close();
      await remove();
      return sample;
    },
  };
};
