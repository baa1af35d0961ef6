import { isMissing } from "./errors.ts";
import type { Definitions } from "./definitions.ts";
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
 * May be repeated. What is bound, the stream queues, goes when nothing is on its way to it any more and nobody reads it, since it
 * takes the connections of its publishers and readers with it; and by one process at a time, since a deletion of what another one is
 * just deleting may never be answered.
 */
export async function removeRemains(
  session: Session,
  definitions: Pick<Definitions, "exclusively">,
  { bindings = [], exchanges, queues }: Remains,
): Promise<void> {
  await session.ask(async (channel) => {
    for (const { queue, exchange, key } of bindings) await channel.unbindQueue(queue, exchange, key);
    for (const exchange of exchanges) await channel.deleteExchange(exchange);
  });
  const bound = new Set(bindings.map(({ queue }) => queue));
  const isThere = await Promise.all([...bound].map((queue) => exists(session, queue)));
  if (isThere.includes(true)) await new Promise<void>((resolve) => void session.clock.after(graceMs, resolve));
  for (const queue of [...bound].filter((_, index) => isThere[index]))
    await definitions.exclusively(`queue ${queue}`, async () => {
      if (await exists(session, queue)) await session.ask((channel) => channel.deleteQueue(queue));
    });
  const others = queues.filter((queue) => !bound.has(queue));
  await session.askEach(others, (channel, queue) => channel.deleteQueue(queue));
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
