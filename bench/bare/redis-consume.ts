/** Bare Redis, consume: `XREADGROUP` a window, parse, await the handler for each, one `XACK`; the next read is not awaited with it. */
import { envelopes } from "../message.ts";
import { type Open, rate } from "../side.ts";
import { fill, freshStream, openClient, readGroup } from "./redis-client.ts";

export const open: Open = ({ messages, window, bytes, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const client = await openClient(url);
      const { key, remove } = await freshStream(client);
      await fill(client, key, messages, (at) => JSON.stringify(envelope(at)));
      let handled = 0;
      const handler = async (event: unknown): Promise<void> => void (handled += event === null ? 0 : 1);
      const sample = await rate(messages, async () => {
        const acknowledged: Promise<unknown>[] = [];
        while (handled < messages) {
          const entries = await readGroup(client, key, window);
          for (const { message } of entries) await handler(JSON.parse(message["b"]!));
          acknowledged.push(
            client.xAck(
              key,
              "bench",
              entries.map(({ id }) => id),
            ),
          );
        }
        await Promise.all(acknowledged);
      });
      await remove();
      await client.close();
      return sample;
    },
  };
};
