/** Bare NATS, a backlog: fetch a window at a time, a slow handler at its end. */
import { setTimeout as wait } from "node:timers/promises";
import { envelopes } from "../message.ts";
import { inWindows, type Open } from "../side.ts";
import { acknowledged, freshStream, openClient } from "./nats-client.ts";

export const open: Open = ({ messages, bytes, window, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const client = await openClient(url);
      const { subject, consumer } = await freshStream(client);
      const publish = acknowledged(client);
      await inWindows(messages, 1_024, (at) => publish(subject, JSON.stringify(envelope(at)), at));
      const group = await consumer();
      const cpu = process.cpuUsage();
      let handled = 0;
      for (const until = performance.now() + 1_000; performance.now() < until;) {
        const slow: Promise<void>[] = [];
        for await (const message of await group.fetch({ max_messages: window, expires: 1_000 })) {
          slow.push(wait(message.json() === null ? 0 : 2).then(() => message.ack()));
        }
        await Promise.all(slow);
        handled += slow.length;
      }
      globalThis.gc?.();
      const { user, system } = process.cpuUsage(cpu);
      const value = process.memoryUsage.rss() / 2 ** 20;
      await client.close();
      return { value, cpuMicros: (user + system) / handled };
    },
  };
};
