/** Bare memory, consume: take from an array, parse, await the handler. */
import { envelopes } from "../message.ts";
import { type Open, rate } from "../side.ts";

export const open: Open = ({ messages, bytes }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const log = Array.from({ length: messages }, (_, at) => Buffer.from(JSON.stringify(envelope(at))));
      let handled = 0;
      const handler = async (event: unknown): Promise<void> => void (handled += event === null ? 0 : 1);
      return rate(messages, async () => {
        for (let at = 0; at < log.length; at++) await handler(JSON.parse(log[at]!.toString()));
      });
    },
  };
};
