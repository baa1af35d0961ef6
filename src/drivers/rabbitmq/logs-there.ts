import type { Clock } from "../../clock.ts";
import type { AmqpChannel } from "./client.ts";
import { isMissing, isOut } from "./errors.ts";
import type { Line } from "./line.ts";

const againMs = 20;

/**
 * After its start a server takes publishes before it knows where its stream queues are, which is up to half a second later: what is
 * routed to such a queue is confirmed and stored nowhere. So nothing is published on a new connection before they are found.
 * Rejects when one is not for so long.
 */
export async function logsThere(line: Line, queues: readonly string[], clock: Clock, withinMs: number): Promise<void> {
  const until = clock.ticks() + withinMs;
  let channel: AmqpChannel | undefined;
  for (const queue of queues) {
    for (;;) {
      try {
        channel ??= await line.channel();
        await channel.checkQueue(queue);
        break;
      } catch (error) {
        channel = undefined; // closed by the server
        if (!isMissing(error)) throw error;
        if (!isOut(error)) break; // deleted: whoever publishes to it has it made again
        if (clock.ticks() > until) throw error;
        await new Promise<void>((resolve) => void clock.after(againMs, resolve));
      }
    }
  }
  await channel?.close();
}
