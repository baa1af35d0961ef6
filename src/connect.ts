import type { Bus } from "./bus.ts";
import { systemClock } from "./clock.ts";
import type { Core } from "./core.ts";
import { Counters } from "./counters.ts";
import { within } from "./deadline.ts";
import type { Driver } from "./driver.ts";
import { BusError } from "./errors.ts";
import { UuidSource } from "./internal/uuid.ts";
import { driverNames, driverOf, loadDriver, schemeOf } from "./load-driver.ts";
import { MessageBus } from "./message-bus.ts";
import { resolveOptions } from "./normalise.ts";
import { invalidOption, printable } from "./option-check.ts";
import type { BusConfig, BusOptions } from "./options.ts";
import { LazyDriver } from "./lazy-driver.ts";
import { Standstill } from "./standstill.ts";
import { StatusBoard } from "./status-board.ts";
import { TimerWheel } from "./timer-wheel.ts";
import { withState } from "./with-state.ts";
import { redact } from "./wrap-error.ts";

/**
 * Connects and resolves with the bus. Rejects with BUS_INVALID_OPTION, BUS_CLIENT_MISSING or BUS_AUTHENTICATION at once, with
 * BUS_CONNECTION when nothing answered within `connectTimeoutMs`; a failed connect leaves nothing open.
 *
 * `memory:` · `memory:name` (shared within the process) · `sqlite:./bus.db` · `nats://user:secret@host:4222` · `redis://user:secret@host:6379` ·
 * `postgres://user:secret@host:5432/database` · `amqp://user:secret@host:5672/vhost` · `kafka://user:secret@host:9092`.
 * A driver's own options stand in the section of its name (`{ url, sqlite: { leaseMs: 5_000 } }`) or in the url's query, or the
 * driver is given: `{ driver: memory({ encode: false }) }`.
 *
 * @example
 * await using bus = await connect("sqlite:./bus.db", { name: "shop" });
 */
export async function connect(target: string | BusConfig, options?: BusOptions): Promise<Bus> {
  const { bus, what, timeoutMs, failure, wheel } = make(target, options);
  const connecting = bus.connect();
  let inTime: boolean;
  try {
    inTime = await within(wheel, timeoutMs, connecting);
  } catch (error) {
    await bus.close({ timeoutMs: 1_000 });
    throw error;
  }
  if (inTime) return bus;
  connecting.catch(() => undefined); // it ends with the close, and its reason is told here
  const last = failure();
  await bus.close({ timeoutMs: 1_000 });
  throw new BusError(
    "BUS_CONNECTION",
    `connecting to ${what}: no connection within ${timeoutMs} ms${last === undefined ? "" : `; the last try said: ${last.message}`}`,
    { cause: last, retryable: true },
  );
}

/**
 * A bus that is not connected yet. `subscribe` only declares; `connect()`, or the first publish or request, connects and resolves
 * when everything declared runs. It waits for the broker instead of rejecting.
 *
 * @example
 * const bus = createBus("sqlite:./bus.db");
 * await bus.subscribe(OrderPlaced, ship, { group: "shipping" });
 * await bus.connect();
 */
export function createBus(target: string | BusConfig, options?: BusOptions): Bus {
  return make(target, options).bus;
}

interface Made {
  readonly bus: MessageBus;
  /** For messages. */
  readonly what: string;
  readonly timeoutMs: number;
  readonly wheel: TimerWheel;
  readonly failure: () => BusError | undefined;
}

function make(target: string | BusConfig, more: BusOptions | undefined): Made {
  const {
    url,
    driver: given,
    ...rest
  } = (typeof target === "string" ? { url: target } : Object(target)) as {
    readonly url?: unknown;
    readonly driver?: unknown;
  } & BusOptions;
  const merged: BusOptions = { ...rest, ...more };
  if ((url === undefined) === (given === undefined)) throw invalidOption('the bus needs either a "url" or a "driver"');
  if (url !== undefined && typeof url !== "string") throw invalidOption('"url" must be a string');
  if (given !== undefined && typeof (given as Driver).connect !== "function")
    throw invalidOption('"driver" must be a driver, as memory() makes it');
  for (const name of driverNames) {
    const section = (merged as Readonly<Record<string, unknown>>)[name];
    if (section === undefined) continue;
    if (given !== undefined)
      throw invalidOption(`the section "${name}" is for a url; a driver that is given has its options already`);
    if (driverOf(schemeOf(url as string)) !== name)
      throw invalidOption(
        `the section "${name}" belongs to another driver than the url's, "${printable(schemeOf(url as string))}"`,
      );
  }
  const clock = systemClock;
  const options = resolveOptions(merged, driverNames);
  const core: Core = {
    options,
    clock,
    wheel: new TimerWheel(clock),
    standstill: new Standstill(clock),
    ids: new UuidSource(clock),
    counters: new Counters(),
    board: new StatusBoard(options.name, options.logger),
  };
  const driver =
    given === undefined
      ? new LazyDriver(driverOf(schemeOf(url as string)), () =>
          loadDriver(url as string, merged as Readonly<Record<string, unknown>>),
        )
      : (given as Driver);
  const bus = new MessageBus(core, options.state === undefined ? driver : withState(driver, options.state));
  return {
    bus,
    what: url === undefined ? `the driver "${driver.name}"` : redact(url as string),
    timeoutMs: options.connectTimeoutMs,
    wheel: core.wheel,
    failure: () => bus.lastFailure,
  };
}
