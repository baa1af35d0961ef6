import { latencies } from "../latency.ts";
import { orders } from "../message.ts";
import type { Open } from "../side.ts";
import { OrderPlaced, withBus } from "./bus.ts";

/** From the call of `publish` until the handler begins. */
export const open: Open = (settings) => {
  const order = orders(settings.bytes);
  return {
    round: () =>
      withBus(settings, async (bus) => {
        let began: (at: number) => void = () => {};
        await bus.subscribe(OrderPlaced, async () => began(performance.now()), { group: "bench" });
        return latencies(settings, async (at) => {
          const handled = new Promise<number>((resolve) => (began = resolve));
          const started = performance.now();
          const receipt = bus.publish(OrderPlaced, order(at));
          const micros = ((await handled) - started) * 1_000;
          await receipt;
          return micros;
        });
      }),
  };
};
