/** Bare PostgreSQL, requests between two processes: `NOTIFY` each way, answers told apart by a number. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { randomUUID } from "node:crypto";
import { envelopes } from "../message.ts";
import { inWindows, type Open, rate } from "../side.ts";
import { notifyAll, openClient } from "./postgres-client.ts";
import { together } from "./together.ts";

export const open: Open = ({ messages, window, bytes, url }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const channel = `bare_${randomUUID().replaceAll("-", "")}`;
      const [client, listener] = await Promise.all([openClient(url), openClient(url)]);
      const child = fork(new URL("postgres-responder.ts", import.meta.url), [url!, channel]);
      await once(child, "message");
      const waiting = new Map<number, () => void>();
      listener.on("notification", ({ payload = "" }) => {
        const { at, event } = JSON.parse(payload) as { readonly at: number; readonly event: unknown };
        if (event !== null) waiting.get(at)?.();
        waiting.delete(at);
      });
      await listener.query(`LISTEN ${channel}_answers`);
      const ask = together((bodies) => notifyAll(client, channel, bodies));
      const request = async (at: number): Promise<void> => {
        const { promise, resolve } = Promise.withResolvers<void>();
        waiting.set(at, resolve);
        ask(JSON.stringify({ at, event: envelope(at) }));
        await promise;
      };
      const sample = await rate(messages, () => inWindows(messages, window, request));
      const ended = once(child, "exit");
      child.disconnect();
      await ended;
      await Promise.all([client.end(), listener.end()]);
      return sample;
    },
  };
};
