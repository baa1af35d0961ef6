import type { ConnectContext } from "../../src/driver.ts";
import { systemClock, type Clock } from "../../src/clock.ts";
import { resolveOptions, type RedisOptions } from "../../src/drivers/redis/options.ts";
import { Session } from "../../src/drivers/redis/session.ts";

let prefixes = 0;

/** A name that no other test of this run uses. */
export function freshPrefix(): string {
  prefixes += 1;
  return `t${process.pid}-${prefixes}-${Math.random().toString(36).slice(2, 8)}`;
}

interface ContextOptions {
  readonly clock?: Clock;
  readonly manage?: ConnectContext["manage"];
}

export function redisContext(
  prefix: string,
  { clock = systemClock, manage = "create" }: ContextOptions = {},
): ConnectContext {
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
    manage,
    clock,
    signal: new AbortController().signal,
    status: () => undefined,
    changed: () => undefined,
    warn: () => undefined,
  };
}

/** The connections of a driver without the rest of it. */
export function openSession(
  url: string,
  prefix: string,
  more: ContextOptions & { readonly options?: RedisOptions } = {},
): Promise<Session> {
  return Session.open(resolveOptions({ url, ...more.options }), redisContext(prefix, more));
}
