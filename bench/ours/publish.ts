import { orders } from "../message.ts";
import { inWindows, type Open, rate } from "../side.ts";
import { OrderPlaced, withBus } from "./bus.ts";

export const open: Open = (settings) => {
  const { messages, window, bytes } = settings;
  const order = orders(bytes);
  return {
    round: () =>
      withBus(settings, (bus) =>
        rate(messages, () => inWindows(messages, window, (at) => bus.publish(OrderPlaced, order(at)))),
      ),
  };
};
