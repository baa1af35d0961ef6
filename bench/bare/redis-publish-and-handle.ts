/** Bare Redis, both at once: a loop of blocking `XREADGROUP` on a connection of its own beside windows of `XADD`. */
import { envelopes } from "../message.ts";
import { inWindows, type Open, rate } from "../side.ts";
import { freshStream, openClient, readGroup } from "./redis-client.ts";

export const open: Open = ({ messages, window, bytes, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const [client, reader] = await Promise.all([openClient(url), openClient(url)]);
      const { key, remove } = await freshStream(client);
      let handled = 0;
      const handler = async (event: unknown): Promise<void> => void (handled += event === null ? 0 : 1);
      const consume = async (): Promise<void> => {
        while (handled < messages) {
          const entries = await readGroup(reader, key, 256, 1_000);
          for (const { message } of entries) await handler(JSON.parse(message["b"]!));
          if (entries.length === 0) continue;
          await client.xAck(
            key,
            "bench",
            entries.map(({ id }) => id),
          );
        }
      };
      const add = (at: number): Promise<unknown> => client.xAdd(key, "*", { b: JSON.stringify(envelope(at)) });
      const sample = await rate(messages, () => Promise.all([consume(), inWindows(messages, window, add)]));
      await remove();
      await Promise.all([client.close(), reader.close()]);
      return sample;
    },
  };
};
