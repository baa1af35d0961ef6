import { expect, it, onTestFinished } from "vitest";
import { memory } from "../../src/drivers/memory/index.ts";
import { HaltedKeys } from "../../src/halted-keys.ts";
import { type Bus, defineEvent, type ForeignFormat, typed } from "../../src/index.ts";
import type { ParkedEvent } from "../../src/parked-event.ts";
import { changed } from "../../src/testing/changed.ts";
import { DriverEnd } from "../../src/testing/driver-end.ts";
import { until } from "../../src/testing/until.ts";
import { outgoing, toTopic } from "../support/driver-harness.ts";
import {
  group,
  Handled,
  letterOf,
  open,
  options,
  publish,
  settled,
  shared,
  withConnection,
  withStore,
} from "../support/halted-keys.ts";

const schema = typed<{ readonly n: number }>();

it("who stands still while it halts a key takes nothing of a later halt", async () => {
  const { connection } = await DriverEnd.open({ driver: memory({ name: shared() }) });
  onTestFinished(() => connection.close(AbortSignal.abort()));
  const store = connection.state!;
  const [halted, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let stands = false;
  const standing = changed(store, {
    put: async (...given) => {
      const revision = await store.put(...given);
      stands = true;
      halted.resolve();
      return revision;
    },
    delete: async (...given) => {
      await goOn.promise;
      return await store.delete(...given);
    },
    keys: async function* (bucket, prefix) {
      if (stands) await goOn.promise;
      yield* store.keys(bucket, prefix);
    },
  });
  const late = new HaltedKeys(standing, group).halt("a", "1", "e1");
  await halted.promise;
  const others = new HaltedKeys(store, group);
  expect(await others.release((await others.of("a"))!)).toBe(true); // its letter was replayed
  const second = await others.halt("a", "2", "e2");
  const event: ParkedEvent = {
    ...{ id: "9", topic: "t", key: "a", lane: "stream", partition: "p", position: "9" },
    ...{ headers: [], notes: [], attempts: 0, notBefore: undefined, body: new Uint8Array(1) },
  };
  expect(await others.park(second, event)).toBe(true);
  goOn.resolve();
  await late;
  expect(await others.parked(second)).toHaveLength(1);
});

it("two events of a key that are given up at once at two owners: one is its letter, the other behind it in its turn", async () => {
  const name = shared();
  const streams = ["one", "two"].map((each, at) => ({ name: each, topics: [each], partitions: 2 + at }));
  const buses = [await open(memory({ name }), { streams }), await open(memory({ name }), { streams })];
  const [bus] = buses as [Bus];
  const definitions = [defineEvent("one", { schema }), defineEvent("two", { schema })];
  const [started, both, handled] = [new Set<string>(), Promise.withResolvers<void>(), [] as string[]];
  const owners = new Map<string, number>();
  for (const [at, each] of buses.entries())
    await each.subscribePattern(
      "*",
      async ({ type, key, data }) => {
        const { n } = data as { readonly n: number };
        if (n < 0) return void owners.set(`${type} ${key}`, at);
        if (n > 0) return void handled.push(`${type}${n}`);
        if (started.add(type).size === 2) both.resolve();
        await both.promise;
        throw new Error(`${type} is broken`);
      },
      options,
    );
  const keys = Array.from({ length: 40 }, (_, n) => `k${n}`);
  const rivals = (): string | undefined => keys.find((each) => owners.get(`one ${each}`) !== owners.get(`two ${each}`));
  await until(async () => {
    owners.clear();
    const asked = definitions.flatMap((definition) =>
      keys.map((each) => bus.publish(definition, { n: -1 }, { key: each })),
    );
    await Promise.all(asked);
    await until(() => owners.size === asked.length, "all to be handled");
    return rivals() !== undefined;
  }, "a key with two owners");
  const key = rivals()!;
  for (const definition of definitions) await bus.publish(definition, { n: 0 }, { key });
  const first = await letterOf(bus);
  for (const definition of definitions) await bus.publish(definition, { n: 1 }, { key });
  await settled(bus);
  const letters = async (): Promise<readonly (readonly [string, boolean])[]> =>
    (await bus.deadLetters.list({ group })).items.map(({ id, haltsKey }) => [id, haltsKey] as const);
  expect(await letters()).toEqual([[first, true]]);
  await bus.deadLetters.discard(first);
  await until(async () => (await letters()).some(([id]) => id !== first), "the letter of the other");
  expect([(await letters()).map(([, halts]) => halts), handled]).toEqual([[true], []]);
  await bus.deadLetters.discard((await letters())[0]![0]);
  await until(() => handled.length === 2, "what waited");
  expect(handled.toSorted()).toEqual(["one1", "two1"]);
});

it("a member that has no state store neither handles a replay nor takes the letter from those that have", async () => {
  const name = shared();
  const [first, operator] = [await open(memory({ name })), await open(memory({ name }))];
  const handled = new Handled("a0");
  await handled.member(first);
  await publish(operator, "a", 0, 1);
  const letter = await letterOf(operator);
  await settled(operator);
  await first.close();
  handled.broken.clear();
  const without = await open(withConnection(memory({ name }), () => ({ state: undefined })));
  let dead = 0;
  without.onStatus(({ type }) => void (dead += type === "dead-lettered" ? 1 : 0));
  await handled.member(without, { retry: { maxAttempts: 1 } });
  await operator.deadLetters.replay(letter);
  await until(() => dead === 1, "its letter again");
  const { items } = await operator.deadLetters.list({ group });
  expect(items.map(({ id, haltsKey }) => [id, haltsKey])).toEqual([[letter, true]]);
  expect(handled.all).toEqual([]);
  await without.close();
  await handled.member(operator);
  await operator.deadLetters.replay(letter);
  await handled.until("a0", "a1");
});

it("what could not be read halts its key under one name, also for who takes it over and can read it", async () => {
  const name = shared();
  const asked = Promise.withResolvers<void>();
  const halts = withStore(memory({ name }), (state) => ({
    put: async (bucket, ...rest) => {
      const revision = await state.put(bucket, ...rest);
      if (bucket !== ".halted") return revision;
      asked.resolve(); // it is halted, and then this process stands still
      return await new Promise(() => undefined);
    },
  }));
  const format: ForeignFormat = {
    name: "braces",
    decode: (body) => (body.byteLength === 1 ? { id: "its own", data: { n: 0 } } : { data: { n: 1 } }),
  };
  const [first, second] = [
    await open(halts),
    await open(memory({ name }), { wire: { foreign: [{ topics: ">", format }] } }),
  ];
  const handled = new Handled();
  await handled.member(first);
  const { connection } = await DriverEnd.open({ driver: memory({ name }) });
  onTestFinished(() => connection.close(AbortSignal.abort()));
  connection.send([outgoing(toTopic("item"), "{", { key: "a" }).message]);
  await asked.promise;
  await first.close({ timeoutMs: 50 });
  await handled.member(second);
  const letter = await letterOf(second);
  expect((await second.deadLetters.list({ group })).items.map(({ haltsKey }) => haltsKey)).toEqual([true]);
  await publish(second, "a", 1);
  await settled(second);
  await second.deadLetters.discard(letter);
  await handled.until("a1");
});
