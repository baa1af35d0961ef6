/** Bare NATS, requests between two processes: the client's own `request`. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { createInbox } from "@nats-io/transport-node";
import { envelopes } from "../message.ts";
import { inWindows, type Open, rate } from "../side.ts";
import { openClient } from "./nats-client.ts";

export const open: Open = ({ messages, window, bytes, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const subject = createInbox();
      const client = await openClient(url);
      const child = fork(new URL("nats-responder.ts", import.meta.url), [url!, subject]);
      await once(child, "message");
      const request = async (at: number): Promise<void> => {
        const answer = await client.request(subject, JSON.stringify(envelope(at)), { timeout: 10_000 });
        if (answer.json() === null) throw new Error("an answer without an event");
      };
      const sample = await rate(messages, () => inWindows(messages, window, request));
      const ended = once(child, "exit");
      child.disconnect();
      await ended;
      await client.close();
      return sample;
    },
  };
};
