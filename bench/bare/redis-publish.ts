/** Bare Redis, publish: encode, `XADD`, pipelined by the client, a window at a time. */
import { envelopes } from "../message.ts";
import { inWindows, type Open, rate } from "../side.ts";
import { freshStream, openClient } from "./redis-client.ts";

export const open: Open = ({ messages, window, bytes, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const client = await openClient(url);
      const { key, remove } = await freshStream(client);
      const add = (at: number): Promise<unknown> => client.xAdd(key, "*", { b: JSON.stringify(envelope(at)) });
      const sample = await rate(messages, () => inWindows(messages, window, add));
      await remove();
      await client.close();
      return sample;
    },
  };
};
