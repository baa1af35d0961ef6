/** Bare PostgreSQL, consume: select a window, parse, await the handler for each, the cursor is moved with the next read. */
import { envelopes } from "../message.ts";
import { type Open, rate } from "../side.ts";
import { fill, freshLog, openClient } from "./postgres-client.ts";

export const open: Open = ({ messages, window, bytes, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const client = await openClient(url);
      const log = await freshLog(client);
      await fill(log, messages, (at) => JSON.stringify(envelope(at)));
      let handled = 0;
      const handler = async (event: unknown): Promise<void> => void (handled += event === null ? 0 : 1);
      const sample = await rate(messages, async () => {
        let at = 0;
        while (handled < messages) {
          const rows = await log.after(at, window);
          for (const { body } of rows) await handler(JSON.parse(body));
          at = rows.at(-1)?.seq ?? at;
        }
        await log.settle(at);
      });
      await log.remove();
      await client.end();
      return sample;
    },
  };
};
