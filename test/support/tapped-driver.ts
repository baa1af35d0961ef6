import type { Consumption, Driver, DriverConnection, InMessage, Sink, Source } from "../../src/driver.ts";
import { memory } from "../../src/drivers/memory/index.ts";

/** What a test puts in the place of a driver's own methods, which it may still call. */
export interface Taps {
  connection?(connection: DriverConnection): Partial<DriverConnection>;
  consumption?(consumption: Consumption, source: Source): Partial<Consumption>;
  /** Hears of what is delivered, before the core does. */
  delivered?(messages: readonly InMessage[], source: Source): void;
}

/** The memory driver, or another, with some of its methods replaced. */
export function tapped(taps: Taps, inner: Driver = memory()): Driver {
  return {
    name: inner.name,
    capabilities: inner.capabilities,
    classify: (error) => inner.classify(error),
    connect: async (context) => {
      const connection = await inner.connect(context);
      const consume = connection.consume.bind(connection);
      const replaced = taps.connection?.(methods(connection)) ?? {};
      return Object.assign(connection, {
        ...replaced,
        consume: async (...[source, sink, window]: Parameters<typeof consume>): Promise<Consumption> => {
          const consumption = await consume(source, heard(taps, source, sink), window);
          return Object.assign(consumption, taps.consumption?.(methods(consumption), source));
        },
      });
    },
  };
}

function heard(taps: Taps, source: Source, sink: Sink): Sink {
  return {
    deliver: (messages) => {
      taps.delivered?.(messages, source);
      sink.deliver(messages);
    },
    revoked: (which) => sink.revoked(which),
    floor: (partition, position) => sink.floor(partition, position),
    spec: (spec) => sink.spec(spec),
    lost: (count, reason) => sink.lost(count, reason),
    ended: (error, kept) => sink.ended(error, kept),
  };
}

/** The methods as they are now, though others are put in their place. */
function methods<Thing extends object>(thing: Thing): Thing {
  const bound = new Map<PropertyKey, unknown>();
  for (let owner: object = thing; owner !== Object.prototype; owner = Object.getPrototypeOf(owner) as object) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(owner)))
      if (typeof value === "function" && !bound.has(name))
        bound.set(name, (...given: unknown[]): unknown => Reflect.apply(value, thing, given));
  }
  return new Proxy(thing, { get: (_, name) => bound.get(name) ?? (thing as Record<PropertyKey, unknown>)[name] });
}
