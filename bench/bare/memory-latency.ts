/** Bare memory, latency: encode, emit, parse, call the handler. */
import { EventEmitter } from "node:events";
import { latencies } from "../latency.ts";
import { envelopes } from "../message.ts";
import type { Open } from "../side.ts";

export const open: Open = (settings) => {
  const envelope = envelopes(settings.bytes);
  return {
    round: async () => {
      const emitter = new EventEmitter();
      return latencies(settings, async (at) => {
        const began = new Promise<number>((resolve) => {
          emitter.once("message", (bytes: Buffer) => {
            if (JSON.parse(bytes.toString()) !== null) resolve(performance.now());
          });
        });
        const started = performance.now();
        emitter.emit("message", Buffer.from(JSON.stringify(envelope(at))));
        return ((await began) - started) * 1_000;
      });
    },
  };
};
