import { describe, expect, it } from "vitest";
import { connect, defineEvent, typed, type Bus, type SubscribeOptions } from "../../src/index.ts";
import type { Note } from "../../src/driver.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { until } from "../../src/testing/until.ts";
import { fresh, gate, Keyed, Seen, Tick, type KeyedCount } from "../support/events.ts";
import { tapped } from "../support/tapped-driver.ts";

const forEver = (): Promise<void> => new Promise(() => undefined);
const numberOf = (note: Note): string => String(note.message.key);

/** A store in which a member of `g` has died over these events: they come back counted. The bus keeps the store. */
async function afterDeathOver(
  events: readonly KeyedCount[],
  options: SubscribeOptions = {},
): Promise<{ readonly name: string; readonly keep: Bus; readonly die: () => Promise<unknown> }> {
  const name = fresh("store");
  const keep = await connect({ driver: memory({ name }) });
  const victim = await connect({ driver: memory({ name }) });
  await victim.subscribe(Keyed, forEver, { ...options, group: "g" });
  await keep.publishMany(events.map((event) => Keyed.of(event)));
  await until(() => victim.stats().delivered === events.length, "that the victim has them");
  return { name, keep, die: () => victim.close({ timeoutMs: 1 }) };
}

describe("a suspect", () => {
  it("whose note got no answer stays, is noted again and runs, and its key goes on", async () => {
    const { name, keep, die } = await afterDeathOver([{ of: "k", n: 1 }]);
    await using _ = keep;
    await keep.publish(Keyed, { of: "k", n: 2 });
    await die();
    let tries = 0;
    const driver = tapped(
      {
        consumption: (consumption, { kind }) =>
          kind !== "group"
            ? {}
            : {
                record: (notes) =>
                  (tries += 1) === 1 ? Promise.reject(new Error("connection reset")) : consumption.record(notes),
              },
      },
      memory({ name }),
    );
    await using bus = await connect({ driver });
    const seen = new Seen();
    await bus.subscribe(Keyed, seen.handle, { group: "g" });
    await until(() => seen.count === 2, "both", 5_000);
    expect([tries, seen.numbers]).toEqual([2, [1, 2]]);
    await until(async () => (await keep.groups.info("g")).inFlight === 0, "that nothing is in flight");
  });

  it("that waits for a due time is one afterwards: noted before it runs", async () => {
    const name = fresh("store");
    await using keep = await connect({ driver: memory({ name }) });
    const victim = await connect({ driver: memory({ name }) });
    const hanging = new Seen();
    await victim.subscribe(
      Keyed,
      (event) => (event.data.n === 2 ? (hanging.handle(event), forEver()) : Promise.reject(new Error("later"))),
      { group: "g", retry: { backoff: () => 400 } },
    );
    await keep.publishMany([Keyed.of({ of: "a", n: 1 }), Keyed.of({ of: "b", n: 2 })]);
    await until(() => victim.stats().retried === 1 && hanging.count === 1, "the retry, recorded");
    await victim.groups.info("g"); // what it settled is at the broker
    await victim.close({ timeoutMs: 1 });
    const said: string[] = [];
    const driver = tapped(
      {
        consumption: (consumption, { kind }) =>
          kind !== "group"
            ? {}
            : {
                record: (notes) => {
                  said.push(...notes.map((note) => `noted ${numberOf(note)}: ${note.attempts}`));
                  return consumption.record(notes);
                },
              },
      },
      memory({ name }),
    );
    await using bus = await connect({ driver });
    await bus.subscribe(Keyed, ({ key }) => void said.push(`ran ${key}`), { group: "g" });
    await until(
      () => said.includes("ran a") && said.includes("ran b"),
      () => said.join(),
    );
    expect(said).toEqual(["noted b: 1", "ran b", "noted a: 2", "ran a"]);
  });

  it("pays with no attempt while it waits for room", async () => {
    const { name, keep, die } = await afterDeathOver(
      [
        { of: "a", n: 1 },
        { of: "b", n: 2 },
      ],
      { order: "none", concurrency: 1 },
    );
    await using _ = keep;
    const busy = await connect({ driver: memory({ name }) });
    const open = gate();
    const ran: string[] = [];
    const options = { group: "g", order: "none", concurrency: 1 } as const;
    await busy.subscribe(Keyed, ({ data }) => (ran.push(`busy ${data.n}`), open.opened), options);
    await keep.publish(Keyed, { of: "c", n: 3 });
    await until(() => ran.length === 1, "the fresh one");
    await die();
    await until(() => busy.stats().delivered === 2, "a suspect, behind it");
    const closing = busy.close();
    open.open();
    await closing;
    await using last = await connect({ driver: memory({ name }) });
    await last.subscribe(Keyed, ({ data }, { attempt }) => void ran.push(`last ${data.n}: ${attempt}`), options);
    await until(
      () => ran.length === 3,
      () => ran.join(),
    );
    expect(ran.toSorted()).toEqual(["busy 3", "last 1: 1", "last 2: 1"]);
  });

  it("that no handler here takes does not hold up those after it", async () => {
    const Other = defineEvent("other", { schema: typed<{ readonly n: number }>(), key: ({ n }) => `o${n}` });
    const name = fresh("store");
    await using keep = await connect({ driver: memory({ name }) });
    const victim = await connect({ driver: memory({ name }) });
    await victim.subscribePattern(">", forEver, { group: "g", order: "none" });
    const strangers = Array.from({ length: 14 }, (_each, n) => Other.of({ n }));
    await keep.publishMany([...strangers, Keyed.of({ of: "k", n: 1 }), Keyed.of({ of: "l", n: 2 })]);
    await until(() => victim.stats().delivered === 16, "that the victim has them");
    await victim.close({ timeoutMs: 1 });
    let released = 0;
    const driver = tapped(
      {
        consumption: (consumption) => ({
          settle: (batch) => {
            released += batch.filter(({ how }) => how === "release").length;
            return new Promise<never>(() => undefined); // the broker takes its time
          },
          close: (signal) => consumption.close(signal),
        }),
      },
      memory({ name }),
    );
    const bus = await connect({ driver });
    const seen = new Seen();
    await bus.subscribe(Keyed, seen.handle, { group: "g", order: "none", concurrency: 16 });
    await until(
      () => seen.count === 2,
      () => `the two that are taken: ${seen.count}, released ${released}`,
      2_000,
    );
    expect(released).toBe(14);
    await bus.close({ timeoutMs: 1 });
  });

  it("is not joined by more than the prefetch: the next crash would make suspects of them", async () => {
    const events = Array.from({ length: 60 }, (_each, n) => ({ of: "k", n }));
    const { name, keep, die } = await afterDeathOver(events, { concurrency: 2 });
    await using _ = keep;
    await die();
    await using bus = await connect({ driver: memory({ name }) });
    const first = gate();
    const seen = new Seen();
    const most: number[] = [];
    await bus.subscribe(
      Keyed,
      async (event) => {
        most.push(bus.stats().delivered - bus.stats().handled);
        if (event.data.n === 0) await first.opened;
        seen.handle(event);
      },
      { group: "g", concurrency: 2 },
    );
    await until(() => most.length === 1, "the first");
    await keep.publish(Keyed, { of: "other", n: 60 });
    expect((await keep.groups.info("g")).inFlight).toBe(4);
    first.open();
    await until(() => seen.count === 61, "all");
    expect(Math.max(...most)).toBeLessThanOrEqual(4 + 1);
    expect(seen.numbers.filter((n) => n < 60)).toEqual(events.map(({ n }) => n));
  });

  it("that comes to the front while a handler ends at once is not forgotten", async () => {
    const events = Array.from({ length: 10 }, (_each, n) => ({ of: "k", n }));
    const { name, keep, die } = await afterDeathOver(events, { concurrency: 8 });
    await using _ = keep;
    await die();
    await using bus = await connect({ driver: memory({ name }) });
    const ran: number[] = [];
    await bus.subscribe(
      Keyed,
      ({ data }, { attempt }) => {
        if (data.n === 0 && attempt < 3) throw new Error("later");
        ran.push(data.n);
      },
      { group: "g", concurrency: 2, retry: { backoff: () => 20 } },
    );
    await until(
      () => ran.length === 10,
      () => `all ten: ${ran.join()}`,
      5_000,
    );
    expect(ran).toEqual(events.map(({ n }) => n));
  });

  it("whose handler is paused waits for it, and the other handlers go on", async () => {
    const { name, keep, die } = await afterDeathOver([{ of: "k", n: 1 }]);
    await using _ = keep;
    await using bus = await connect({ driver: memory({ name }) });
    const [paused, other] = [new Seen(), new Seen()];
    const subscription = await bus.subscribe(Keyed, paused.handle, { group: "g" });
    await bus.subscribe(Tick, other.handle, { group: "g" });
    await subscription.pause();
    await die();
    await until(() => bus.stats().delivered === 1, "the suspect");
    await keep.publishMany(Array.from({ length: 50 }, (_each, n) => Tick.of({ n })));
    await until(() => other.count === 50, "the others");
    expect(paused.count).toBe(0);
    await subscription.resume();
    await until(() => paused.count === 1, "the suspect's run");
  });

  it("runs alone, one after another, and none is left behind", async () => {
    const events = [1, 2, 3, 4, 5].map((n) => ({ of: `k${n}`, n }));
    const { name, keep, die } = await afterDeathOver(events);
    await using _ = keep;
    await die();
    await using bus = await connect({ driver: memory({ name }) });
    let running = 0;
    let most = 0;
    const seen = new Seen();
    await bus.subscribe(
      Keyed,
      async (event) => {
        most = Math.max(most, (running += 1));
        await new Promise((resolve) => setImmediate(resolve));
        running -= 1;
        seen.handle(event);
      },
      { group: "g" },
    );
    await until(() => seen.count === 5, "all five", 2_000);
    expect([most, seen.numbers.toSorted()]).toEqual([1, [1, 2, 3, 4, 5]]);
  });
});
