import { fork } from "node:child_process";
import { once } from "node:events";
import { connect } from "../../src/index.ts";
import { orders } from "../message.ts";
import { inWindows, type Open, rate } from "../side.ts";
import { config, Echo, freshUrl } from "./bus.ts";

/** Requests to a responder in another process; in memory, on another bus of this one. */
export const open: Open = (settings) => {
  const { messages, window, bytes, driver } = settings;
  const order = orders(bytes);
  const near = async (url: string): Promise<() => Promise<unknown>> => {
    const responder = await connect(config(url, settings));
    await responder.respond(Echo, (data) => data, { concurrency: window });
    return () => responder.close();
  };
  const far = async (url: string): Promise<() => Promise<unknown>> => {
    const child = fork(new URL("responder.ts", import.meta.url), [url, JSON.stringify(settings)]);
    await once(child, "message");
    return async () => {
      const ended = once(child, "exit");
      child.disconnect();
      await ended;
    };
  };
  return {
    round: async () => {
      const { url, remove } =
        driver === "memory" ? { url: "memory:bench-request", remove: () => {} } : freshUrl(settings);
      const bus = await connect(config(url, settings));
      const stop = await (driver === "memory" ? near(url) : far(url));
      try {
        await bus.request(Echo, order(0));
        return await rate(messages, () => inWindows(messages, window, (at) => bus.request(Echo, order(at))));
      } finally {
        await stop();
        await bus.close();
        remove();
      }
    },
  };
};
