import type {
  Capabilities,
  ConnectContext,
  Consumption,
  Driver,
  DriverConnection,
  Sink,
  StateStore,
} from "../../src/driver.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { DriverError } from "../../src/internal/driver-error.ts";
import { changed } from "../../src/testing/changed.ts";
import { until } from "../../src/testing/index.ts";

interface Open {
  readonly consumption: Consumption;
  readonly sink: Sink;
}

/**
 * The memory driver's store as a broker at the other end of a line, which outlives its clients: a restart breaks every line at
 * once, loses the answers that are on their way and what was only in a client's hands, and keeps what is stored.
 */
export class RestartableBroker {
  readonly driver: Driver;
  readonly capabilities: Capabilities = { ...memory().capabilities, durable: true };
  readonly #contexts = new Set<ConnectContext>();
  readonly #open = new Set<Open>();
  readonly #watching = new Set<AbortController>();
  #down = false;
  /** What was asked of it while it was down. */
  #refused = 0;
  #epoch = 0;

  constructor() {
    const inner = memory();
    this.driver = changed(inner, {
      capabilities: this.capabilities,
      connect: async (context) => {
        this.#check();
        const connection = await inner.connect(context);
        this.#contexts.add(context);
        return this.#line(connection, context);
      },
    });
  }

  async restart(): Promise<void> {
    this.#down = true;
    this.#epoch += 1;
    this.#refused = 0;
    const error = broken();
    for (const context of this.#contexts) context.status({ type: "disconnected", error });
    for (const line of this.#watching) line.abort();
    this.#watching.clear();
    for (const open of [...this.#open]) {
      this.#open.delete(open);
      await open.consumption.close(AbortSignal.abort());
      open.sink.ended(error, false);
    }
    await until(() => this.#refused > 0, "somebody to notice that the broker is down");
    this.#down = false;
    for (const context of this.#contexts) context.status({ type: "connected" });
  }

  #line(connection: DriverConnection, context: ConnectContext): DriverConnection {
    return changed(connection, {
      capabilities: this.capabilities,
      ensureStream: async (stream, dryRun) => this.#up(() => connection.ensureStream(stream, dryRun)),
      ensureGroup: async (group) => this.#up(() => connection.ensureGroup(group)),
      ping: async () => this.#up(() => connection.ping()),
      send: (batch) => {
        const epoch = this.#epoch;
        if (this.#down) {
          this.#refused += batch.length;
          for (const message of batch) message.failed("no", broken());
          return;
        }
        // Answers take a turn; one that is on its way when the line breaks is lost.
        const answer = (message: (typeof batch)[number], tell: () => void): void =>
          void setImmediate(() => (epoch === this.#epoch ? tell() : message.failed("unknown", broken())));
        connection.send(
          batch.map((message) =>
            changed(message, {
              stored: (position, duplicate) => answer(message, () => message.stored(position, duplicate)),
              failed: (stored, error) => answer(message, () => message.failed(stored, error)),
            }),
          ),
        );
      },
      consume: async (source, sink, window) => {
        const consumption = await this.#up(() => connection.consume(source, sink, window));
        const open = { consumption, sink };
        this.#open.add(open);
        const gone = (): boolean => !this.#open.has(open);
        return changed(consumption, {
          ack: (messages) => (gone() ? undefined : consumption.ack(messages)),
          settle: async (batch) => (gone() ? batch.map(() => "stale") : consumption.settle(batch)),
          record: async (notes) => (gone() ? notes.map(() => "stale") : consumption.record(notes)),
          wants: async (patterns, answers) => (gone() ? undefined : consumption.wants(patterns, answers)),
          flush: async () => (gone() ? undefined : consumption.flush()),
          stop: async () => (gone() ? undefined : consumption.stop()),
          close: async (signal) => {
            if (!this.#open.delete(open)) return;
            await consumption.close(signal);
          },
        });
      },
      state: this.#stateOf(connection.state!),
      close: async (signal) => {
        this.#contexts.delete(context);
        await connection.close(signal);
      },
    });
  }

  #stateOf(state: StateStore): StateStore {
    return changed(state, {
      get: async (...args) => this.#up(() => state.get(...args)),
      put: async (...args) => this.#up(() => state.put(...args)),
      delete: async (...args) => this.#up(() => state.delete(...args)),
      keys: (...args) => this.#read(() => state.keys(...args)),
      watch: (bucket, prefix, signal) => {
        const line = new AbortController();
        const end = (): void => line.abort();
        signal.addEventListener("abort", end);
        if (signal.aborted) end();
        this.#watching.add(line);
        return this.#read(() => state.watch(bucket, prefix, line.signal), signal);
      },
    });
  }

  /** What is read when the line breaks ends in an error, unless the reader wanted its end. */
  async *#read<Item>(read: () => AsyncIterable<Item>, signal?: AbortSignal): AsyncGenerator<Item> {
    const epoch = this.#epoch;
    this.#check();
    for await (const item of read()) {
      if (epoch !== this.#epoch) throw broken();
      yield item;
    }
    if (epoch !== this.#epoch && signal?.aborted !== true) throw broken();
  }

  #up<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    this.#check();
    return work();
  }

  #check(): void {
    if (!this.#down) return;
    this.#refused += 1;
    throw broken();
  }
}

const broken = (): DriverError =>
  new DriverError("BUS_CONNECTION", "the line to the broker broke", { retryable: true });
