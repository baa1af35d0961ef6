/** Bare Kafka, a backlog: a window at a time from the client's stream, a slow handler at its end. */
import { setTimeout as wait } from "node:timers/promises";
import { envelopes } from "../message.ts";
import type { Open } from "../side.ts";
import { freshTopic, openSender, sendAll } from "./kafka-client.ts";
import { openReader } from "./kafka-reader.ts";

export const open: Open = ({ messages, bytes, window, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const { topic, remove } = await freshTopic(url);
      const sender = openSender(url, topic);
      await sendAll(sender, messages, (at) => JSON.stringify(envelope(at)));
      const { stream, close } = await openReader(url, topic, window);
      const cpu = process.cpuUsage();
      let handled = 0;
      let working: Promise<void>[] = [];
      const until = performance.now() + 1_000;
      for await (const message of stream) {
        working.push(wait(JSON.parse(message.value.toString()) === null ? 0 : 2));
        if (working.length < window) continue;
        await Promise.all(working);
        await message.commit();
        handled += working.length;
        working = [];
        if (performance.now() > until) break;
      }
      globalThis.gc?.();
      const { user, system } = process.cpuUsage(cpu);
      const value = process.memoryUsage.rss() / 2 ** 20;
      await close();
      await sender.close();
      await remove();
      return { value, cpuMicros: (user + system) / handled };
    },
  };
};
