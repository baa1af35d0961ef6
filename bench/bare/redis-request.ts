/** Bare Redis, requests between two processes: a channel each way, answers told apart by a number. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { randomUUID } from "node:crypto";
import { envelopes } from "../message.ts";
import { inWindows, type Open, rate } from "../side.ts";
import { openClient } from "./redis-client.ts";

export const open: Open = ({ messages, window, bytes, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const channel = `bench-bare:${randomUUID()}`;
      const [client, subscriber] = await Promise.all([openClient(url), openClient(url)]);
      const child = fork(new URL("redis-responder.ts", import.meta.url), [url!, channel]);
      await once(child, "message");
      const waiting = new Map<number, () => void>();
      await subscriber.subscribe(`${channel}:answers`, (text) => {
        const { at, event } = JSON.parse(text) as { readonly at: number; readonly event: unknown };
        if (event !== null) waiting.get(at)?.();
        waiting.delete(at);
      });
      const request = async (at: number): Promise<void> => {
        const { promise, resolve } = Promise.withResolvers<void>();
        waiting.set(at, resolve);
        await client.publish(channel, JSON.stringify({ at, event: envelope(at) }));
        await promise;
      };
      const sample = await rate(messages, () => inWindows(messages, window, request));
      const ended = once(child, "exit");
      child.disconnect();
      await ended;
      await Promise.all([client.close(), subscriber.close()]);
      return sample;
    },
  };
};
