/** Bare Redis, latency: `XADD`, a blocked `XREADGROUP` on a connection of its own wakes, parse, call the handler, `XACK`. */
import { latencies } from "../latency.ts";
import { envelopes } from "../message.ts";
import type { Open } from "../side.ts";
import { freshStream, openClient, readGroup } from "./redis-client.ts";

export const open: Open = (settings) => {
  const envelope = envelopes(settings.bytes);
  return {
    round: async () => {
      const [client, reader] = await Promise.all([openClient(settings.url), openClient(settings.url)]);
      const { key, remove } = await freshStream(client);
      const sample = await latencies(settings, async (at) => {
        const coming = readGroup(reader, key, 256, 5_000);
        const started = performance.now();
        await client.xAdd(key, "*", { b: JSON.stringify(envelope(at)) });
        const [entry] = await coming;
        const event: unknown = JSON.parse(entry!.message["b"]!);
        const micros = event === null ? 0 : (performance.now() - started) * 1_000;
        await client.xAck(key, "bench", entry!.id);
        return micros;
      });
      await remove();
      await Promise.all([client.close(), reader.close()]);
      return sample;
    },
  };
};
