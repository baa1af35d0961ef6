import { expect, it, onTestFinished } from "vitest";
import { memory } from "../../src/drivers/memory/index.ts";
import { HaltedKeys } from "../../src/halted-keys.ts";
import { DriverError } from "../../src/internal/driver-error.ts";
import type { ParkedEvent } from "../../src/parked-event.ts";
import { changed } from "../../src/testing/changed.ts";
import { DriverEnd } from "../../src/testing/driver-end.ts";
import { until } from "../../src/testing/until.ts";
import { outgoing, toTopic } from "../support/driver-harness.ts";
import {
  group,
  Handled,
  item,
  letterOf,
  open,
  options,
  publish,
  settled,
  shared,
  withConnection,
  withStore,
} from "../support/halted-keys.ts";

it("what can't be read after its replay either is the same letter, and halts its key as before", async () => {
  const name = shared();
  const bus = await open(memory({ name }));
  const handled = new Handled();
  await handled.member(bus);
  const { connection } = await DriverEnd.open({ driver: memory({ name }) });
  onTestFinished(() => connection.close(AbortSignal.abort()));
  connection.send([outgoing(toTopic("item"), "{", { key: "a" }).message]);
  const first = await letterOf(bus);
  await publish(bus, "a", 1);
  await settled(bus);
  let dead = 0;
  bus.onStatus(({ type }) => void (dead += type === "dead-lettered" ? 1 : 0));
  await bus.deadLetters.replay(first);
  await until(() => dead === 1, "its letter again");
  const { items } = await bus.deadLetters.list({ group });
  expect(items.map(({ id, haltsKey }) => [id, haltsKey])).toEqual([[first, true]]);
  await settled(bus);
  expect(handled.all).toEqual([]);
  await bus.deadLetters.discard(first);
  await handled.until("a1");
});

it("a discard by who has no state store frees the key all the same", async () => {
  const name = shared();
  const bus = await open(memory({ name }));
  const operator = await open(withConnection(memory({ name }), () => ({ state: undefined })));
  const handled = new Handled("a0");
  await handled.member(bus);
  await publish(bus, "a", 0, 1);
  const letter = await letterOf(operator);
  await settled(bus);
  const refusal = { code: "BUS_CONFLICT", message: expect.stringContaining("state store") as string };
  await expect(operator.groups.delete(group), "it would leave what is parked").rejects.toMatchObject(refusal);
  expect(await operator.deadLetters.discard(letter)).toBe(1);
  await handled.until("a1");
  await bus.close();
  expect(await operator.groups.delete(group)).toBe(true);
});

it("a group is not reset while what it has parked would come out of order", async () => {
  const name = shared();
  const [bus, operator] = [await open(memory({ name })), await open(memory({ name }))];
  const handled = new Handled("a1");
  await handled.member(bus);
  await publish(bus, "a", 0, 1, 2);
  const letter = await letterOf(operator);
  await settled(operator);
  await bus.close();
  const reset = operator.groups.reset(group, "oldest");
  await expect(reset).rejects.toMatchObject({
    code: "BUS_CONFLICT",
    message: expect.stringContaining("halted") as string,
  });
  await handled.member(operator);
  await operator.deadLetters.discard(letter);
  await handled.until("a0", "a2");
});

it("what is parked and has no room for its history becomes a letter without it", async () => {
  const driver = withStore(memory({ name: shared() }), (state) => ({
    put: (bucket, key, value, how) =>
      value.byteLength > 1_000
        ? Promise.reject(new DriverError("BUS_TOO_LARGE", "no room"))
        : state.put(bucket, key, value, how),
  }));
  const bus = await open(driver);
  let attempts = 0;
  await bus.subscribe(
    item,
    ({ data }) => {
      if (data.n === 1) attempts += 1;
      throw new Error("x".repeat(400));
    },
    { ...options, retry: { exhausted: "halt-key", maxAttempts: 4, backoff: { baseMs: 1, jitter: 0 } } },
  );
  await publish(bus, "a", 0);
  const first = await letterOf(bus);
  await publish(bus, "a", 1);
  await settled(bus);
  await bus.deadLetters.discard(first);
  await until(async () => (await bus.deadLetters.list({ group })).items.some(({ id }) => id !== first), "its letter");
  expect(attempts).toBe(4);
});

it("what is parked behind a halt that ends meanwhile, and is swept by the next, is not lost", async () => {
  const { connection } = await DriverEnd.open({ driver: memory({ name: shared() }) });
  onTestFinished(() => connection.close(AbortSignal.abort()));
  const others = new HaltedKeys(connection.state!, group);
  const first = await others.halt("a", "1", "e1");
  const state = changed(connection.state!, {
    put: async (bucket, key, value, how) => {
      const revision = await connection.state!.put(bucket, key, value, how);
      if (bucket === ".parked") {
        expect(await others.release((await others.of("a"))!)).toBe(true); // it was looked at before
        await others.halt("a", "2", "e2"); // and sweeps
      }
      return revision;
    },
  });
  const event: ParkedEvent = {
    ...{ id: "9", topic: "t", key: "a", lane: "stream", partition: "p", position: "9" },
    ...{ headers: [], notes: [], attempts: 0, notBefore: undefined, body: new Uint8Array(1) },
  };
  expect(await new HaltedKeys(state, group).park(first, event)).toBe(false);
});

it("what waits for its retry while it is handed out keeps nobody else waiting", async () => {
  const bus = await open(memory({ name: shared() }));
  const handled = new Handled("a0", "b0", "a1", "b1");
  const retry = {
    exhausted: "halt-key",
    maxAttempts: 2,
    backoff: (_: number, error: unknown) => (/^.1/.test((error as Error).message) ? 60_000 : 1),
  } as const;
  await handled.member(bus, { concurrency: 1, retry });
  await publish(bus, "a", 0, 1);
  await publish(bus, "b", 0, 1);
  await until(async () => (await bus.deadLetters.count({ group })) === 2, "both letters");
  await settled(bus);
  for (const name of ["a0", "b0"]) handled.broken.delete(name);
  let retried = 0;
  bus.onStatus(({ type }) => void (retried += type === "handler-failed" ? 1 : 0));
  await bus.deadLetters.replay({ group });
  await until(() => retried === 2, "those behind both to wait");
  await publish(bus, "c", 0);
  await until(
    () => handled.all.includes("c0"),
    () => `c0; it is ${handled.all.join()}`,
  );
});
