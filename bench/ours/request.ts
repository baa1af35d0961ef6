import { fork } from "node:child_process";
import { once } from "node:events";
import { connect } from "../../src/index.ts";
import { orders } from "../message.ts";
import { inWindows, type Open, rate } from "../side.ts";
import { config, Echo, freshPlace, type Place, removePlace } from "./bus.ts";

/** Requests to a responder in another process; in memory, on another bus of this one. */
export const open: Open = (settings) => {
  const { messages, window, bytes, driver } = settings;
  const order = orders(bytes);
  const near = async (place: Place): Promise<() => Promise<unknown>> => {
    const responder = await connect(config(place, settings));
    await responder.respond(Echo, (data) => data, { concurrency: window });
    return () => responder.close();
  };
  const far = async (place: Place): Promise<() => Promise<unknown>> => {
    const child = fork(new URL("responder.ts", import.meta.url), [JSON.stringify(place), JSON.stringify(settings)]);
    await once(child, "message");
    return async () => {
      const ended = once(child, "exit");
      child.disconnect();
      await ended;
    };
  };
  return {
    round: async () => {
      const place = driver === "memory" ? { url: "memory:bench-request" } : freshPlace(settings);
      const bus = await connect(config(place, settings));
      const stop = await (driver === "memory" ? near(place) : far(place));
      try {
        await bus.request(Echo, order(0));
        return await rate(messages, () => inWindows(messages, window, (at) => bus.request(Echo, order(at))));
      } finally {
        await stop();
        await bus.close();
        removePlace(place);
      }
    },
  };
};
