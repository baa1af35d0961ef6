/** Bare Redis, a backlog: read a window at a time, a slow handler at its end. */
import { setTimeout as wait } from "node:timers/promises";
import { envelopes } from "../message.ts";
import type { Open } from "../side.ts";
import { fill, freshStream, openClient, readGroup } from "./redis-client.ts";

export const open: Open = ({ messages, bytes, window, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const client = await openClient(url);
      const { key, remove } = await freshStream(client);
      await fill(client, key, messages, (at) => JSON.stringify(envelope(at)));
      const cpu = process.cpuUsage();
      let handled = 0;
      for (const until = performance.now() + 1_000; performance.now() < until;) {
        const entries = await readGroup(client, key, window);
        await Promise.all(entries.map(({ message }) => wait(JSON.parse(message["b"]!) === null ? 0 : 2)));
        await client.xAck(
          key,
          "bench",
          entries.map(({ id }) => id),
        );
        handled += entries.length;
      }
      globalThis.gc?.();
      const { user, system } = process.cpuUsage(cpu);
      const value = process.memoryUsage.rss() / 2 ** 20;
      await remove();
      await client.close();
      return { value, cpuMicros: (user + system) / handled };
    },
  };
};
