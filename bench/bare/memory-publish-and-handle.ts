/** Bare memory, both at once: an EventEmitter wakes a loop that empties an array queue. `encode: false`: values, no bytes. */
import { EventEmitter, once } from "node:events";
import { envelopes } from "../message.ts";
import { inWindows, type Open, rate } from "../side.ts";

export const open: Open = ({ messages, window, bytes, encode = true }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const emitter = new EventEmitter();
      const queue: (Buffer | object)[] = [];
      let handled = 0;
      let busy = false;
      const handler = async (event: unknown): Promise<void> => void (handled += event === null ? 0 : 1);
      emitter.on("message", () => {
        if (busy) return;
        busy = true;
        queueMicrotask(async () => {
          for (let at = 0; at < queue.length; at++) {
            const message = queue[at]!;
            await handler(Buffer.isBuffer(message) ? JSON.parse(message.toString()) : message);
          }
          queue.length = 0;
          busy = false;
          if (handled === messages) emitter.emit("done");
        });
      });
      const publish = async (at: number): Promise<void> => {
        queue.push(encode ? Buffer.from(JSON.stringify(envelope(at))) : envelope(at));
        emitter.emit("message");
      };
      return rate(messages, async () => {
        const done = once(emitter, "done");
        await inWindows(messages, window, publish);
        await done;
      });
    },
  };
};
