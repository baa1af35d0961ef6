import { orders } from "../message.ts";
import { inWindows, type Open, rate } from "../side.ts";
import { groupOptions, OrderPlaced, withBus } from "./bus.ts";

export const open: Open = (settings) => {
  const { messages, window, bytes } = settings;
  const options = groupOptions(settings);
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
        await bus.subscribe(OrderPlaced, handler, options);
        return rate(messages, async () => {
          await inWindows(messages, window, (at) => bus.publish(OrderPlaced, order(at)));
          await all.promise;
        });
      }),
  };
};
