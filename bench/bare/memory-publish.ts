/** Bare memory, publish: encode, push to an array, one promise for each message. */
import { envelopes } from "../message.ts";
import { inWindows, type Open, rate } from "../side.ts";

export const open: Open = ({ messages, window, bytes }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const log: Buffer[] = [];
      const publish = async (at: number): Promise<void> => void log.push(Buffer.from(JSON.stringify(envelope(at))));
      return rate(messages, () => inWindows(messages, window, publish));
    },
  };
};
