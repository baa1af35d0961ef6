import {
  type Bus,
  type BusConfig,
  type BusOptions,
  connect,
  type EventDefinition,
  defineEvent,
  typed,
} from "../index.ts";
import { DriverEnd } from "./driver-end.ts";
import { isFull, randomFor } from "./settings.ts";
import type { DriverUnderTest, World } from "./test-driver.ts";
import { within } from "./until.ts";

/** What almost every test publishes. */
export interface Item {
  readonly n: number;
  readonly text?: string | undefined;
}
export type ItemEvent = EventDefinition<string, Item, Item>;

/** Retries that a test can wait for. */
const quickRetry: NonNullable<BusOptions["retry"]> = { maxAttempts: 5, backoff: { baseMs: 5, jitter: 0 } };

let labs = 0;
const run = `${process.pid.toString(36)}${Date.now().toString(36)}`;

/** What one test works with: a world of its own, names of its own, chance from the seed; disposing it closes every bus. */
export class Lab implements AsyncDisposable {
  readonly driver: DriverUnderTest;
  readonly random: () => number;
  /** How long nothing must happen before a test believes that nothing will: short of a lease unless in full. */
  readonly quietMs: number;
  readonly world: World;
  readonly #id: string;
  readonly #buses: Bus[] = [];
  readonly #ends: DriverEnd[] = [];

  static async open(driver: DriverUnderTest, title: string): Promise<Lab> {
    return new Lab(driver, await within(driver.create(), "create"), title);
  }

  private constructor(driver: DriverUnderTest, world: World, title: string) {
    this.driver = driver;
    this.world = world;
    this.random = randomFor(title);
    this.quietMs = isFull ? Math.min((driver.leaseMs ?? 10_000) * 1.3, 3_000) : 120;
    this.#id = `t${run}${(labs++).toString(36)}`;
  }

  /** A topic, a type or a pattern that no other test has. */
  topic(name: string): string {
    return `${this.#id}.${name}`;
  }

  group(name = "group"): string {
    return `${this.#id}-${name}`;
  }

  /** An event of items, by default on a topic of its type. */
  event(name = "item", topic: string = name): ItemEvent {
    return defineEvent(this.topic(name), { schema: typed<Item>(), topic: this.topic(topic) });
  }

  /** A connected bus of this world, with quick retries; closed at the end of the test. */
  async bus(options: BusOptions = {}): Promise<Bus> {
    const bus = await within(connect(this.config(options)), "connect");
    this.#buses.push(bus);
    return bus;
  }

  config(options: BusOptions = {}): BusConfig {
    return { retry: quickRetry, ...this.world.config(), ...options };
  }

  /** Closed at the end like those that `bus` makes. */
  adopt(bus: Bus): Bus {
    this.#buses.push(bus);
    return bus;
  }

  /** A connection of the driver's own, beside those of the buses. */
  async driverEnd(): Promise<DriverEnd> {
    const end = await within(DriverEnd.open(this.world.config()), "the driver's connect");
    this.#ends.push(end);
    return end;
  }

  async closeAll(): Promise<void> {
    await within(Promise.all(this.#ends.splice(0).map((end) => end.close())), "closing every connection");
    await within(Promise.all(this.#buses.splice(0).map((bus) => bus.close({ timeoutMs: 2_000 }))), "closing every bus");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.closeAll();
    await within(this.world.dispose(), "dispose");
  }
}
