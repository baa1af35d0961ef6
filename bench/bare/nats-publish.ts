/** Bare NATS, publish: encode, publish with an id, the acknowledgements of all to one inbox; a window at a time. */
import { envelopes } from "../message.ts";
import { inWindows, type Open, rate } from "../side.ts";
import { acknowledged, freshStream, openClient } from "./nats-client.ts";

export const open: Open = ({ messages, window, bytes, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const client = await openClient(url);
      const { subject } = await freshStream(client);
      const publish = acknowledged(client);
      const sample = await rate(messages, () =>
        inWindows(messages, window, (at) => publish(subject, JSON.stringify(envelope(at)), at)),
      );
      await client.close();
      return sample;
    },
  };
};
