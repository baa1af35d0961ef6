import { isMissing } from "./errors.ts";
import type { Session } from "./session.ts";

const graceMs = 500;

export interface QueueBinding {
  readonly queue: string;
  readonly exchange: string;
  readonly key: string;
}

/** What nobody needs any more has at the server, until somebody has removed it. */
export interface Remains {
  readonly bindings?: readonly QueueBinding[];
  readonly exchanges: readonly string[];
  readonly queues: readonly string[];
}

export const noRemains: Remains = { exchanges: [], queues: [] };

export function joinRemains(one: Remains, other: Remains): Remains {
  const bindings = [...(one.bindings ?? []), ...(other.bindings ?? [])];
  return {
    bindings: [...new Map(bindings.map((each) => [JSON.stringify(each), each])).values()],
    exchanges: [...new Set([...one.exchanges, ...other.exchanges])],
    queues: [...new Set([...one.queues, ...other.queues])],
  };
}

/**
 * May be repeated, by one process at a time. What is bound goes when nothing is on its way to it any more and nobody reads it: a
 * stream queue that is deleted under its publishers or readers takes their connections with it.
 */
export async function removeRemains(session: Session, { bindings = [], exchanges, queues }: Remains): Promise<void> {
  await session.ask(async (channel) => {
    for (const { queue, exchange, key } of bindings) await channel.unbindQueue(queue, exchange, key);
    for (const exchange of exchanges) await channel.deleteExchange(exchange);
  });
  const bound = [...new Set(bindings.map(({ queue }) => queue))];
  const isThere = await Promise.all(bound.map((queue) => exists(session, queue)));
  if (isThere.includes(true)) await new Promise<void>((resolve) => void session.clock.after(graceMs, resolve));
  await session.askEach(queues, (channel, queue) => channel.deleteQueue(queue));
}

async function exists(session: Session, queue: string): Promise<boolean> {
  try {
    await session.ask((channel) => channel.checkQueue(queue));
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
