import { onTestFinished } from "vitest";
import type { Driver, DriverConnection, StateStore } from "../../src/driver.ts";
import { type Bus, type BusOptions, connect, defineEvent, type SubscribeOptions, typed } from "../../src/index.ts";
import { changed } from "../../src/testing/changed.ts";
import { until } from "../../src/testing/until.ts";

export const group = "g";
export const item = defineEvent("item", { schema: typed<{ readonly n: number }>() });
export const options: SubscribeOptions = {
  group,
  order: "group",
  retry: { exhausted: "halt-key", maxAttempts: 1 },
};
let stores = 0;
export const shared = (): string => `halt-${(stores += 1)}`;

export class Handled {
  readonly all: string[] = [];
  readonly broken: Set<string>;

  constructor(...broken: string[]) {
    this.broken = new Set(broken);
  }

  async member(bus: Bus, changes: SubscribeOptions = {}): Promise<void> {
    const handler = ({
      key,
      data,
    }: {
      readonly key?: string | undefined;
      readonly data: { readonly n: number };
    }): void => {
      const name = `${key}${data.n}`;
      if (this.broken.has(name)) throw new Error(`${name} is broken`);
      this.all.push(name);
    };
    await bus.subscribe(item, handler, { ...options, ...changes });
  }

  until(...names: string[]): Promise<void> {
    return until(
      () => this.all.join() === names.join(),
      () => `${names.join()}; it is ${this.all.join()}`,
    );
  }
}

export async function open(driver: Driver, more: BusOptions = {}): Promise<Bus> {
  const bus = await connect({ driver, ...more });
  onTestFinished(async () => void (await bus.close({ timeoutMs: 500 })));
  return bus;
}

export const publish = async (bus: Bus, key: string, ...numbers: number[]): Promise<void> =>
  void (await Promise.all(numbers.map((n) => bus.publish(item, { n }, { key }))));

export async function letterOf(bus: Bus): Promise<string> {
  await until(async () => (await bus.deadLetters.count({ group })) > 0, "a letter");
  return (await bus.deadLetters.list({ group })).items[0]!.id;
}

export const settled = (bus: Bus): Promise<void> =>
  until(async () => {
    const { waiting, inFlight } = await bus.groups.info(group);
    return waiting + inFlight === 0;
  }, "all to be settled");

export const withConnection = (
  inner: Driver,
  of: (connection: DriverConnection) => Partial<DriverConnection>,
): Driver =>
  changed(inner, {
    connect: async (context) => {
      const connection = await inner.connect(context);
      return changed(connection, of(connection));
    },
  });

/** The same connection, with another state store. */
export const withStore = (inner: Driver, of: (state: StateStore) => Partial<StateStore>): Driver =>
  withConnection(inner, ({ state }) => ({ state: changed(state!, of(state!)) }));

/** Says nothing until it is told to end. */
export const mute: StateStore["watch"] = (_bucket, _prefix, signal) => ({
  [Symbol.asyncIterator]: () => ({
    next: () =>
      new Promise((resolve) => {
        signal.addEventListener("abort", () => resolve({ done: true, value: undefined }), { once: true });
      }),
  }),
});
