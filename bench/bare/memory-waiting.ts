/** Bare memory, a backlog: the same bytes in an array, a slow handler at its end. */
import { setTimeout as wait } from "node:timers/promises";
import { envelopes } from "../message.ts";
import type { Open } from "../side.ts";

export const open: Open = ({ messages, bytes, window }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const log = Array.from({ length: messages }, (_, at) => Buffer.from(JSON.stringify(envelope(at))));
      let next = 0;
      let open = true;
      const work = async (): Promise<void> => {
        while (open) {
          const event: unknown = JSON.parse(log[next++]!.toString());
          await wait(event === null ? 0 : 2);
        }
      };
      const cpu = process.cpuUsage();
      const workers = Array.from({ length: window }, work);
      await wait(1_000);
      globalThis.gc?.();
      const { user, system } = process.cpuUsage(cpu);
      const value = process.memoryUsage.rss() / 2 ** 20;
      open = false;
      await Promise.all(workers);
      return { value, cpuMicros: (user + system) / next };
    },
  };
};
