/** Bare Kafka, requests between two processes: a topic each way, answers told apart by a number. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { envelopes } from "../message.ts";
import { inWindows, type Open, rate } from "../side.ts";
import { freshTopic, openSender } from "./kafka-client.ts";
import { openReader } from "./kafka-reader.ts";
import { together } from "./together.ts";

export const open: Open = ({ messages, window, bytes, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const [requests, answers] = [await freshTopic(url), await freshTopic(url)];
      const sender = openSender(url, requests.topic);
      const child = fork(new URL("kafka-responder.ts", import.meta.url), [url!, requests.topic, answers.topic]);
      await once(child, "message");
      const { stream, close } = await openReader(url, answers.topic);
      const waiting = new Map<number, () => void>();
      stream.on("data", (message) => {
        const { at, event } = JSON.parse(message.value.toString()) as { readonly at: number; readonly event: unknown };
        if (event !== null) waiting.get(at)?.();
        waiting.delete(at);
      });
      const turn = together((bodies) => sender.send(bodies));
      const request = async (at: number): Promise<void> => {
        const { promise, resolve } = Promise.withResolvers<void>();
        waiting.set(at, resolve);
        turn(JSON.stringify({ at, event: envelope(at) }));
        await promise;
      };
      const sample = await rate(messages, () => inWindows(messages, window, request));
      const ended = once(child, "exit");
      child.disconnect();
      await Promise.all([ended, close(), sender.close()]);
      await Promise.all([requests.remove(), answers.remove()]);
      return sample;
    },
  };
};
