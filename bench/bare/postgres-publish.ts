/** Bare PostgreSQL, publish: encode, and all of a window in one insert of many rows, which is one commit. */
import { envelopes } from "../message.ts";
import { type Open, rate } from "../side.ts";
import { freshLog, openClient } from "./postgres-client.ts";

export const open: Open = ({ messages, window, bytes, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const client = await openClient(url);
      const log = await freshLog(client);
      const sample = await rate(messages, async () => {
        for (let done = 0; done < messages; done += window) {
          const bodies: string[] = [];
          for (let at = done; at < Math.min(done + window, messages); at++) bodies.push(JSON.stringify(envelope(at)));
          await log.add(bodies);
        }
      });
      await log.remove();
      await client.end();
      return sample;
    },
  };
};
