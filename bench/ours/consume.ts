import { orders } from "../message.ts";
import { inWindows, type Open, rate } from "../side.ts";
import { groupOptions, OrderPlaced, withBus } from "./bus.ts";

/** A backlog that is there already, handled by one group: a new one from the oldest on, or one that it waits for. */
export const open: Open = (settings) => {
  const { messages, bytes } = settings;
  const options = groupOptions(settings);
  const order = orders(bytes);
  return {
    round: () =>
      withBus(settings, async (bus) => {
        if (settings.group === "before")
          await (await bus.subscribe(OrderPlaced, async () => undefined, options)).unsubscribe();
        await inWindows(messages, 1_024, (at) => bus.publish(OrderPlaced, order(at)));
        return rate(messages, async () => {
          const all = Promise.withResolvers<void>();
          let left = messages;
          const handler = async (): Promise<void> => {
            left -= 1;
            if (left === 0) all.resolve();
          };
          const subscription = await bus.subscribe(OrderPlaced, handler, options);
          await all.promise;
          await subscription.unsubscribe(); // the last settlements count, too
        });
      }),
  };
};
