import { systemClock } from "../../src/clock.ts";
import type { ConnectContext } from "../../src/driver.ts";
import { Delays } from "../../src/drivers/rabbitmq/delayed.ts";
import { Definitions } from "../../src/drivers/rabbitmq/definitions.ts";
import { delaySteps } from "../../src/drivers/rabbitmq/delays.ts";
import { objectsOf, pastOf } from "../../src/drivers/rabbitmq/group-setup.ts";
import { type RabbitMqOptions, resolveOptions } from "../../src/drivers/rabbitmq/options.ts";
import { joinRemains } from "../../src/drivers/rabbitmq/remains.ts";
import { QueueLanes } from "../../src/drivers/rabbitmq/queue-lanes.ts";
import { Session } from "../../src/drivers/rabbitmq/session.ts";

/**
 * How long a node must have nothing to make until it has written down which queues there are. One that is killed within a second after
 * a queue was made forgets who leads it (3.10.8): a quorum queue has no leader after the start, for good, and of the first stream queue
 * of its life all of them are "down". That is the server's, and no outage of ours.
 */
export const rabbitWrittenMs = 1_500;

let prefixes = 0;

/** A name that no other test of this run uses. */
export function freshPrefix(): string {
  prefixes += 1;
  return `t${process.pid}-${prefixes}-${Math.random().toString(36).slice(2, 8)}`;
}

export function rabbitContext(prefix: string): ConnectContext {
  return {
    name: "test",
    prefix,
    member: {
      id: `member-${(prefixes += 1)}`,
      name: "test",
      host: "here",
      pid: 1,
      since: new Date(0),
      lastSeen: new Date(0),
      partitions: undefined,
    },
    manage: "create",
    clock: systemClock,
    signal: new AbortController().signal,
    status: () => undefined,
    changed: () => undefined,
    warn: () => undefined,
  };
}

/** The connections of a driver without the rest of it. */
export function openSession(url: string, prefix: string, options: RabbitMqOptions = {}): Promise<Session> {
  return Session.open(resolveOptions({ url, ...options }), rabbitContext(prefix));
}

/** Deletes all that a prefix has. */
export async function forgetPrefix(url: string, prefix: string): Promise<void> {
  const session = await openSession(url, prefix);
  const definitions = new Definitions(session);
  try {
    const { names } = session;
    const queue = names.own("d");
    if (!(await exists(session, queue))) return;
    await definitions.start();
    const delays = new Delays(session, definitions);
    const lanes = new QueueLanes(session, delays);
    // without the claims of the driver, which somebody who was killed may have left: they are waited for
    for (const definition of definitions.groups) {
      const left = joinRemains(objectsOf(session, lanes, definition), pastOf(session, definition));
      await session.ask(async (channel) => {
        for (const name of left.exchanges) await channel.deleteExchange(name);
      });
      await session.askEach(left.queues, (channel, name) => channel.deleteQueue(name));
    }
    for (const stream of definitions.streams.keys())
      await session.ask(async (channel) => {
        await channel.deleteExchange(names.stream(stream));
        await channel.deleteQueue(names.stream(stream));
      });
    const steps = definitions.isMade("schedule")
      ? Array.from({ length: delaySteps }, (_, step) => names.delay(step))
      : [];
    const queues = (["d", "j", "l", "x", "y", "z"] as const).map((duty) => names.own(duty));
    const exchanges = (["q", "e", "r", "m", "w", "y"] as const).map((duty) => names.own(duty));
    await session.askEach([...queues, ...steps], (channel, name) => channel.deleteQueue(name));
    // at once the server breaks the connection now and then (541): they are bound to each other
    await session.ask(async (channel) => {
      for (const name of [...exchanges, ...steps]) await channel.deleteExchange(name);
    });
  } finally {
    definitions.close();
    await session.close(AbortSignal.timeout(2_000));
  }
}

async function exists(session: Session, queue: string): Promise<boolean> {
  try {
    await session.ask((channel) => channel.checkQueue(queue));
    return true;
  } catch {
    return false;
  }
}
