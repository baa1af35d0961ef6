import { orders } from "../message.ts";
import { inWindows, type Open, rate } from "../side.ts";
import { withBus } from "./bus.ts";

/** Publishes among many subscriptions without a group, each to a topic of its own: what a match costs. */
export const open: Open = (settings) => {
  const { messages, window, bytes, subscriptions = 1, topics = subscriptions } = settings;
  const order = orders(bytes);
  return {
    round: () =>
      withBus(settings, async (bus) => {
        const all = Promise.withResolvers<void>();
        let left = messages;
        const handler = async (): Promise<void> => {
          left -= 1;
          if (left === 0) all.resolve();
        };
        for (let at = 0; at < subscriptions; at++)
          await bus.subscribePattern(`bench.session.${at}.>`, handler, { group: false });
        return rate(messages, async () => {
          await inWindows(messages, window, (at) => bus.publishTopic(`bench.session.${at % topics}.order`, order(at)));
          await all.promise;
        });
      }),
  };
};
