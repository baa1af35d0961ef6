import {
  connect,
  defineEvent,
  typed,
  type Bus,
  type BusConfig,
  type BusError,
  type BusEvent,
  type BusOptions,
  type Logger,
} from "../../src/index.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { until } from "../../src/testing/until.ts";
import { FaultyDriver } from "./faulty-driver.ts";

export interface Count {
  readonly n: number;
}

/** No key, topic `tick`. */
export const Tick = defineEvent("tick", { schema: typed<Count>() });
export const Tock = defineEvent("tock", { schema: typed<Count>() });
export interface KeyedCount extends Count {
  readonly of: string;
}
/** Keyed by `of`. */
export const Keyed = defineEvent("keyed", { schema: typed<KeyedCount>(), key: (data) => data.of });

let made = 0;
/** Unique in this process: of a store, a group. */
export const fresh = (what: string): string => `${what}-${(made += 1)}`;

export const onMemory = (options: BusOptions = {}): Promise<Bus> => connect({ driver: memory(), ...options });

export async function onFaulty(
  options: BusOptions = {},
  driver: FaultyDriver = new FaultyDriver(),
): Promise<{ readonly bus: Bus; readonly driver: FaultyDriver }> {
  const config: BusConfig = { driver, ...options };
  return { driver, bus: await connect(config) };
}

/** Quick retries, so that tests of other things don't wait. */
export const atOnce = { backoff: { baseMs: 1, maxMs: 1 } } as const;

export class Seen {
  readonly events: BusEvent[] = [];
  readonly handle = (event: BusEvent): void => void this.events.push(event);

  get count(): number {
    return this.events.length;
  }
  get numbers(): readonly number[] {
    return this.events.map(({ data }) => (data as Count).n);
  }
}

export interface LogLine {
  readonly level: keyof Logger;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}
export class LogBook implements Logger {
  readonly lines: LogLine[] = [];
  readonly debug = (fields: object, message: string): void => this.#add("debug", fields, message);
  readonly info = (fields: object, message: string): void => this.#add("info", fields, message);
  readonly warn = (fields: object, message: string): void => this.#add("warn", fields, message);
  readonly error = (fields: object, message: string): void => this.#add("error", fields, message);

  of(message: string): readonly LogLine[] {
    return this.lines.filter((line) => line.message === message);
  }

  #add(level: keyof Logger, fields: object, message: string): void {
    this.lines.push({ level, message, fields: fields as Record<string, unknown> });
  }
}

/** The error of a promise that has to fail. */
export async function failureOf(promise: Promise<unknown>): Promise<BusError> {
  try {
    await promise;
  } catch (error) {
    return error as BusError;
  }
  throw new Error("was not rejected");
}

/** A promise to open by hand. */
export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}

/** Publishes and sees it handled, by default in the group `g`: the bus still works. */
export async function stillWorks(bus: Bus, group = "g"): Promise<void> {
  const seen = new Seen();
  const subscription = await bus.subscribe(Tock, seen.handle, { group, name: "still-works" });
  await bus.publish(Tock, { n: 1 });
  await until(() => seen.count > 0, "that the bus still works", 5_000);
  await subscription.unsubscribe();
}
