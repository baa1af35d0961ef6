import { AttachedState } from "../../src/attached-state.ts";
import type { Driver, DriverConnection, OutMessage, StateStore } from "../../src/driver.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { changed } from "../../src/testing/changed.ts";
import { connectTo, consume, outgoing, type RecordingSink, type Sent, toTopic } from "./driver-harness.ts";
import { lacking } from "./lacking-driver.ts";
import { ManualClock } from "./manual-clock.ts";

export interface Taps {
  readonly broker?: (connection: DriverConnection) => Partial<DriverConnection>;
  readonly store?: (state: StateStore) => Partial<StateStore>;
}

export const tapping = (driver: Driver, tap: (connection: DriverConnection) => Partial<DriverConnection>): Driver =>
  changed(driver, {
    connect: async (context) => {
      const connection = await driver.connect(context);
      return changed(connection, tap(connection));
    },
  });

/** A broker and a store in memory, and processes that have both. */
export class World {
  readonly clock = new ManualClock();
  readonly warnings: string[] = [];
  /** What reached the broker, tries included. */
  readonly sent: OutMessage[] = [];
  readonly #broker = lacking(["state"]);
  readonly #store = memory();

  async process(
    { broker = () => ({}), store = () => ({}) }: Taps = {},
    at: Driver = this.#broker,
  ): Promise<DriverConnection> {
    const noted = tapping(at, (connection) => ({
      send: (batch) => {
        this.sent.push(...batch);
        connection.send(batch);
      },
    }));
    const driver = new AttachedState(tapping(noted, broker), {
      driver: tapping(this.#store, ({ state }) => ({ state: changed(state!, store(state!)) })),
      isLocal: false,
    });
    const warn = (message: string): void => void this.warnings.push(message);
    const { connection } = await connectTo(
      changed(driver, { connect: (context) => driver.connect({ ...context, warn }) }),
      { clock: this.clock },
    );
    await connection.ensureStream({ name: "events", topics: [">"] });
    return connection;
  }

  async atTheBroker(): Promise<DriverConnection> {
    return (await connectTo(this.#broker, { clock: this.clock })).connection;
  }

  async tail(connection: DriverConnection): Promise<RecordingSink> {
    const from = { at: "oldest" } as const;
    const { sink, consumption } = await consume(connection, {
      kind: "tail",
      stream: "events",
      from,
      resume: undefined,
    });
    await consumption.wants([">"], []);
    return sink;
  }

  /** Published for in a second. */
  async later(connection: DriverConnection, id: string, more: Partial<OutMessage> = {}): Promise<Sent> {
    const sent = outgoing(toTopic("a"), id, { id, notBefore: this.clock.now() + 1_000, ...more });
    connection.send([sent.message]);
    await this.pass(0);
    return sent;
  }

  pass(ms: number): Promise<void> {
    return this.clock.pass(ms, 8);
  }
}
