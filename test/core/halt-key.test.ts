import { expect, it, onTestFinished } from "vitest";
import type { Driver } from "../../src/driver.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { HaltedKeys } from "../../src/halted-keys.ts";
import { changed } from "../../src/testing/changed.ts";
import { DriverEnd } from "../../src/testing/driver-end.ts";
import { silence, until } from "../../src/testing/until.ts";
import { outgoing, toTopic } from "../support/driver-harness.ts";
import {
  group,
  Handled,
  item,
  letterOf,
  mute,
  open,
  options,
  publish,
  settled,
  shared,
  withConnection,
  withStore,
} from "../support/halted-keys.ts";

it("reads which keys are halted when it takes a partition up, and waits for no watch to say it", async () => {
  const name = shared();
  const deaf = (): Driver => withStore(memory({ name }), () => ({ watch: mute }));
  const [first, operator] = [await open(deaf()), await open(deaf())];
  const handled = new Handled("a0", "b0", "c0", "d0");
  await handled.member(first);
  for (const key of ["a", "b", "c", "d"]) await publish(operator, key, 0);
  await until(async () => (await operator.deadLetters.count({ group })) === 4, "the letters");
  const second = await open(deaf());
  await handled.member(second);
  await first.close();
  for (const key of ["a", "b", "c", "d", "e"]) await publish(operator, key, 1);
  await handled.until("e1");
  await settled(operator);
  const third = await open(deaf());
  await handled.member(third);
  await second.close();
  for (const key of ["a", "b", "c", "d", "e"]) await publish(operator, key, 2);
  await handled.until("e1", "e2");
  await settled(operator);
  await silence(() => handled.all.length, "handled, and halted", 50);
});

it("lets nothing of a partition go on before it was read, however long that takes", async () => {
  const name = shared();
  const read = Promise.withResolvers<void>();
  let reads = 0;
  const slow = (): Driver =>
    withStore(memory({ name }), (state) => ({
      watch: mute,
      async *keys(...asked) {
        reads += 1;
        await read.promise;
        yield* state.keys(...asked);
      },
    }));
  const [bus, operator] = [await open(slow()), await open(memory({ name }))];
  const handled = new Handled();
  await handled.member(bus);
  await publish(operator, "a", 0, 1);
  await publish(operator, "b", 0);
  await until(() => reads > 0, "it to be asked for");
  await silence(() => handled.all.length, "handled", 50);
  read.resolve();
  await until(() => handled.all.length === 3, "all");
  const before = reads;
  await publish(operator, "a", 2, 3, 4);
  await until(() => handled.all.length === 6, "all");
  expect(reads).toBe(before); // once for a partition, and not for each event
});

it("asks the store for nothing while no key is halted, but what is halted at first", async () => {
  let asked = 0;
  const count =
    <Args extends unknown[], Answer>(method: (...args: Args) => Answer) =>
    (...args: Args): Answer => {
      asked += 1;
      return method(...args);
    };
  const driver = withStore(memory(), (state) => ({
    get: count((...args) => state.get(...args)),
    put: count((...args) => state.put(...args)),
    keys: count((...args) => state.keys(...args)),
    delete: count((...args) => state.delete(...args)),
  }));
  const bus = await open(driver);
  const handled = new Handled();
  await handled.member(bus);
  await publish(bus, "a", 0);
  await handled.until("a0");
  const before = asked;
  for (let n = 1; n < 50; n += 1) await publish(bus, "a", n);
  await until(() => handled.all.length === 50, "all");
  expect(asked).toBe(before);
});

it("keeps what can't be parked in its place, and tries again", { timeout: 20_000 }, async () => {
  let failures = 3;
  const driver = withStore(memory(), (state) => ({
    put: async (bucket, ...rest) => {
      if (bucket === ".parked" && failures > 0) {
        failures -= 1;
        throw new Error("the store is full");
      }
      return await state.put(bucket, ...rest);
    },
  }));
  const bus = await open(driver);
  const handled = new Handled("a0");
  await handled.member(bus);
  await publish(bus, "a", 0, 1, 2);
  await publish(bus, "b", 0);
  const letter = await letterOf(bus);
  await settled(bus);
  expect([failures, handled.all]).toEqual([0, ["b0"]]);
  handled.broken.clear();
  await bus.deadLetters.replay(letter);
  await handled.until("b0", "a0", "a1", "a2");
});

it("stores no letter before its key is halted", { timeout: 20_000 }, async () => {
  let failures = 2;
  const letters: number[] = [];
  const driver = withConnection(memory(), ({ state, admin }) => ({
    state: changed(state!, {
      put: async (bucket, ...rest) => {
        if (bucket === ".halted" && failures > 0) {
          failures -= 1;
          letters.push(await admin.countLetters(group));
          throw new Error("away");
        }
        return await state!.put(bucket, ...rest);
      },
    }),
  }));
  const bus = await open(driver);
  const handled = new Handled("a0");
  await handled.member(bus);
  await publish(bus, "a", 0, 1);
  await letterOf(bus);
  await settled(bus);
  expect([letters, handled.all]).toEqual([[0, 0], []]);
});

it("whoever gets an event that was noted to be given up stores its letter, and runs it no more", async () => {
  const name = shared();
  const asked = Promise.withResolvers<void>();
  const stuck = withStore(memory({ name }), (state) => ({
    put: (bucket, ...rest) => {
      if (bucket !== ".halted") return state.put(bucket, ...rest);
      asked.resolve();
      return new Promise(() => undefined);
    },
  }));
  const [first, second] = [await open(stuck), await open(memory({ name }))];
  let failures = 0;
  first.onStatus(({ type }) => (failures += Number(type === "handler-failed")));
  second.onStatus(({ type }) => (failures += Number(type === "handler-failed")));
  const handled = new Handled("a0");
  await handled.member(first);
  await publish(second, "a", 0, 1);
  await asked.promise;
  await first.close({ timeoutMs: 50 });
  await handled.member(second);
  const letter = await letterOf(second);
  await settled(second);
  expect(failures).toBe(1);
  handled.broken.clear();
  await second.deadLetters.replay(letter);
  await handled.until("a0", "a1");
});

it("a discard that stopped between its message and its end is harmless twice", async () => {
  let failures = 1;
  const driver = withConnection(memory(), ({ admin }) => ({
    admin: changed(admin, {
      removeLetters: async (ids, token) => {
        if (failures-- > 0) {
          throw new Error("cut off");
        }
        return await admin.removeLetters(ids, token);
      },
    }),
  }));
  const bus = await open(driver);
  const handled = new Handled("a0");
  await handled.member(bus);
  await publish(bus, "a", 0, 1);
  const letter = await letterOf(bus);
  await settled(bus);
  await expect(bus.deadLetters.discard(letter)).rejects.toThrow("cut off");
  await handled.until("a1");
  expect(await bus.deadLetters.discard(letter)).toBe(1);
  await publish(bus, "a", 2);
  await handled.until("a1", "a2");
  await settled(bus);
});

it("what can't be read halts its key too, and what can't be read waits behind it as it came", async () => {
  const name = shared();
  const bus = await open(memory({ name }));
  const handled = new Handled();
  await handled.member(bus);
  const { connection } = await DriverEnd.open({ driver: memory({ name }) });
  onTestFinished(() => connection.close(AbortSignal.abort()));
  const send = (): void => connection.send([outgoing(toTopic("item"), "{", { key: "a" }).message]);
  send();
  const first = await letterOf(bus);
  await publish(bus, "a", 1);
  send();
  await publish(bus, "a", 2);
  await settled(bus);
  expect(handled.all).toEqual([]);
  await bus.deadLetters.discard(first);
  await handled.until("a1");
  await until(async () => (await bus.deadLetters.count({ group })) === 1, "the second letter");
  const [second] = (await bus.deadLetters.list({ group })).items;
  expect([second?.haltsKey, second?.event, new TextDecoder().decode(second?.raw)]).toEqual([true, undefined, "{"]);
  await bus.deadLetters.discard(second!.id);
  await handled.until("a1", "a2");
});

it("a member that does not halt hands out what is parked, and handles no discarded event", async () => {
  const name = shared();
  const [first, operator] = [await open(memory({ name })), await open(memory({ name }))];
  const handled = new Handled("a0", "b0");
  await handled.member(first);
  await publish(operator, "a", 0, 1, 2);
  await publish(operator, "b", 0, 1, 2);
  await until(async () => (await operator.deadLetters.count({ group })) === 2, "the letters");
  await settled(operator);
  await first.close();
  handled.broken.clear();
  await handled.member(operator, { retry: { maxAttempts: 1 } });
  const { items } = await operator.deadLetters.list({ group });
  const [a, b] = ["a", "b"].map((key) => items.find(({ event }) => event?.key === key)!.id);
  await operator.deadLetters.replay(a!);
  await handled.until("a0", "a1", "a2");
  await operator.deadLetters.discard(b!);
  await handled.until("a0", "a1", "a2", "b1", "b2");
});

it("parks what was never encoded", async () => {
  const bus = await open(memory({ encode: false }));
  const handled = new Handled("a0");
  await handled.member(bus);
  await publish(bus, "a", 0, 1);
  const letter = await letterOf(bus);
  await settled(bus);
  expect(await bus.deadLetters.replay(letter, { data: { n: 7 } })).toEqual({ replayed: 1, failed: 0 });
  await handled.until("a7", "a1");
});

it("several handlers: those that failed run again, and a parked event is for all", async () => {
  const bus = await open(memory());
  const [one, two] = [new Handled("a0"), new Handled()];
  await one.member(bus, { name: "one" });
  await two.member(bus, { name: "two" });
  await publish(bus, "a", 0, 1);
  const letter = await letterOf(bus);
  await settled(bus);
  expect([one.all, two.all]).toEqual([[], ["a0"]]);
  one.broken.clear();
  await bus.deadLetters.replay(letter);
  await one.until("a0", "a1");
  await two.until("a0", "a1");
});

it("what is parked while the last is handed out is neither lost nor left behind", async () => {
  const late = Promise.withResolvers<void>();
  const looked = Promise.withResolvers<void>();
  let isEnding = false;
  const driver = withStore(memory(), (state) => ({
    async *keys(bucket, prefix) {
      const names: string[] = [];
      for await (const name of state.keys(bucket, prefix)) names.push(name);
      if (isEnding && bucket === ".parked" && names.length === 0) {
        looked.resolve();
        await late.promise;
      }
      yield* names;
    },
  }));
  const bus = await open(driver);
  const other = await open(driver);
  const handled = new Handled("a0");
  await handled.member(bus);
  await publish(other, "a", 0, 1);
  const letter = await letterOf(bus);
  await settled(bus);
  const { connection } = await DriverEnd.open({ driver });
  onTestFinished(() => connection.close(AbortSignal.abort()));
  const keys = new HaltedKeys(connection.state!, group);
  const { event } = (await keys.event((await keys.parked((await keys.of("a"))!))[0]!))!;
  isEnding = true;
  handled.broken.clear();
  await bus.deadLetters.replay(letter);
  await looked.promise; // nothing was left when it looked
  const halt = (await keys.of("a"))!;
  expect(await keys.park(halt, { ...event, id: "another" })).toBe(true);
  late.resolve();
  await handled.until("a0", "a1", "a1");
  await until(async () => (await keys.of("a")) === undefined, "the key to be free");
  expect(await keys.park(halt, { ...event, id: "too late" })).toBe(false);
  expect(await keys.parked(halt)).toEqual([]);
});

it("sends to the group wait with the events of their key", async () => {
  const bus = await open(memory());
  const handled = new Handled("a0");
  await handled.member(bus);
  await publish(bus, "a", 0);
  const letter = await letterOf(bus);
  await bus.send(group, item, { n: 1 }, { key: "a" });
  await bus.send(group, item, { n: 1 }, { key: "b" });
  await handled.until("b1");
  await settled(bus);
  handled.broken.clear();
  expect(await bus.deadLetters.replay(letter)).toEqual({ replayed: 1, failed: 0 });
  await handled.until("b1", "a0", "a1");
});

it("batches get the parked ones too", async () => {
  const bus = await open(memory());
  const seen: number[] = [];
  let broken = true;
  await bus.subscribeBatch(
    item,
    async (events) => {
      if (broken) throw new Error("broken");
      seen.push(...events.map(({ data }) => data.n));
    },
    { ...options, maxSize: 5, maxAgeMs: 5 },
  );
  await publish(bus, "a", 0, 1, 2);
  const letter = await letterOf(bus);
  await settled(bus);
  broken = false;
  await bus.deadLetters.replay(letter);
  await until(() => seen.length === 3, "all");
  expect(seen).toEqual([0, 1, 2]);
});
