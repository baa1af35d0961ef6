/** Bare PostgreSQL, a backlog: read a window at a time, a slow handler at its end. */
import { setTimeout as wait } from "node:timers/promises";
import { envelopes } from "../message.ts";
import type { Open } from "../side.ts";
import { fill, freshLog, openClient } from "./postgres-client.ts";

export const open: Open = ({ messages, bytes, window, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const client = await openClient(url);
      const log = await freshLog(client);
      await fill(log, messages, (at) => JSON.stringify(envelope(at)));
      const cpu = process.cpuUsage();
      let [handled, last] = [0, 0];
      for (const until = performance.now() + 1_000; performance.now() < until;) {
        const rows = await log.after(last, window);
        await Promise.all(rows.map(({ body }) => wait(JSON.parse(body) === null ? 0 : 2)));
        last = rows.at(-1)?.seq ?? last;
        await log.settle(last);
        handled += rows.length;
      }
      globalThis.gc?.();
      const { user, system } = process.cpuUsage(cpu);
      const value = process.memoryUsage.rss() / 2 ** 20;
      await log.remove();
      await client.end();
      return { value, cpuMicros: (user + system) / handled };
    },
  };
};
