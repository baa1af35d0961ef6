/** Bare PostgreSQL, both at once: a reader on a connection of its own beside inserts of a window. */
import { envelopes } from "../message.ts";
import { type Open, rate } from "../side.ts";
import { openClient, sharedLog } from "./postgres-client.ts";

export const open: Open = ({ messages, window, bytes, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const [client, other] = await Promise.all([openClient(url), openClient(url)]);
      const [log, read] = await sharedLog(client, other);
      let handled = 0;
      const handler = async (event: unknown): Promise<void> => void (handled += event === null ? 0 : 1);
      const consume = async (): Promise<void> => {
        let at = 0;
        while (handled < messages) {
          const rows = await read.after(at, 256);
          for (const { body } of rows) await handler(JSON.parse(body));
          at = rows.at(-1)?.seq ?? at;
        }
        await read.settle(at);
      };
      const publish = async (): Promise<void> => {
        for (let done = 0; done < messages; done += window) {
          const bodies: string[] = [];
          for (let at = done; at < Math.min(done + window, messages); at++) bodies.push(JSON.stringify(envelope(at)));
          await log.add(bodies);
        }
      };
      const sample = await rate(messages, () => Promise.all([consume(), publish()]));
      await log.remove();
      await Promise.all([client.end(), other.end()]);
      return sample;
    },
  };
};
