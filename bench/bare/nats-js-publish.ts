/** Bare NATS, as its client's page shows it: `js.publish` with an id, a window of them at once. */
import { jetstream } from "@nats-io/jetstream";
import { envelopes } from "../message.ts";
import { inWindows, type Open, rate } from "../side.ts";
import { freshStream, idOf, openClient } from "./nats-client.ts";

export const open: Open = ({ messages, window, bytes, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const client = await openClient(url);
      const { subject } = await freshStream(client);
      const js = jetstream(client);
      const publish = (at: number): Promise<unknown> =>
        js.publish(subject, JSON.stringify(envelope(at)), { msgID: idOf(at) });
      const sample = await rate(messages, () => inWindows(messages, window, publish));
      await client.close();
      return sample;
    },
  };
};
