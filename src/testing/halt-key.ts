import assert from "node:assert/strict";
import type { DeadLetter } from "../admin.ts";
import { type Bus, Reject } from "../index.ts";
import type { SubscribeOptions } from "../handler.ts";
import type { ItemEvent, Lab } from "./lab.ts";
import { letters } from "./letters.ts";
import { rejection } from "./rejection.ts";
import { type Run, Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { until, within } from "./until.ts";

const halting = { retry: { exhausted: "halt-key", maxAttempts: 2, backoff: { baseMs: 1, jitter: 0 } } } as const;
const needs = ["groups", "replay", "order", "state"] as const;

/** A group of order "group" that waits for the letters of the items that are `broken`, named by key and number. */
class HaltedGroup {
  readonly runs: Runs = new Runs();
  readonly broken: Set<string>;
  readonly lab: Lab;
  readonly item: ItemEvent;
  readonly options: SubscribeOptions;

  constructor(lab: Lab, broken: Iterable<string>) {
    this.lab = lab;
    this.broken = new Set(broken);
    this.item = lab.event();
    this.options = { group: lab.group(), order: "group", ...halting };
  }

  async member(bus: Bus, name = "m1", work?: (run: Run) => unknown): Promise<void> {
    const handler = this.runs.handler(name, async (run) => {
      if (this.broken.has(nameOf(run))) throw new Error(`${nameOf(run)} is broken`);
      await work?.(run);
    });
    await bus.subscribe(this.item, handler, this.options);
  }

  async publish(bus: Bus, key: string, ...numbers: number[]): Promise<void> {
    await Promise.all(numbers.map((n) => bus.publish(this.item, { n }, { key })));
  }

  letters(bus: Bus, count: number): Promise<readonly DeadLetter[]> {
    return letters(bus, this.lab.group(), count);
  }

  /** Nothing of the group is left at the broker: it is handled, a letter, or parked. */
  async settled(bus: Bus): Promise<void> {
    let left: unknown;
    await until(
      async () => {
        const { waiting, inFlight } = await bus.groups.info(this.lab.group());
        left = { waiting, inFlight };
        return waiting === 0 && inFlight === 0;
      },
      () => `everything to be settled; left: ${JSON.stringify(left)}`,
    );
  }

  /** The numbers of a key in the order in which they were handled. */
  handled(key: string): number[] {
    return this.runs.handled.filter(({ event }) => event.key === key).map(({ n }) => n);
  }

  async untilHandled(key: string, numbers: readonly number[]): Promise<void> {
    await until(
      () => this.handled(key).length >= numbers.length,
      () => `${key}: ${numbers.join(" ")}; handled: ${this.handled(key).join(" ")}`,
      (this.lab.driver.leaseMs ?? 10_000) + 30_000,
    );
    assert.deepEqual(this.handled(key), numbers, key);
  }

  /** The key halted by its item 0, with 1 to `parked` parked. */
  async halted(bus: Bus, key: string, parked: number): Promise<DeadLetter> {
    await this.publish(bus, key, ...upTo(parked + 1));
    const [letter] = await this.letters(bus, 1);
    await this.settled(bus);
    assert.deepEqual(this.handled(key), []);
    return letter!;
  }
}

const nameOf = ({ event, n }: Run): string => `${event.key}${n}`;

/** docs/guarantees.md, Order: `halt-key`, a key that waits for what becomes of its dead letter. */
export function haltKeyTests({ test }: Suite): void {
  test(
    { name: "halt-key: the later events of a key wait for its letter, and other keys go on", needs: [...needs] },
    async (lab) => {
      const group = new HaltedGroup(lab, ["a0"]);
      const bus = await lab.bus();
      await group.member(bus);
      await group.publish(bus, "a", 0, 1, 2);
      await group.publish(bus, "b", 0, 1, 2);
      await group.untilHandled("b", [0, 1, 2]);
      const [letter] = await group.letters(bus, 1);
      assert.equal(letter?.haltsKey, true);
      await group.publish(bus, "a", 3);
      await group.publish(bus, "b", 3);
      await group.untilHandled("b", [0, 1, 2, 3]);
      await group.settled(bus);
      await group.runs.silence(lab.quietMs);
      assert.deepEqual(group.handled("a"), []);
      assert.equal(await bus.deadLetters.count({ group: lab.group() }), 1, "what waits is no letter");
    },
  );

  test(
    { name: "halt-key: a replay is handled, then what was parked in order, then what is live", needs: [...needs] },
    async (lab) => {
      const group = new HaltedGroup(lab, ["a0"]);
      const bus = await lab.bus();
      await group.member(bus);
      const letter = await group.halted(bus, "a", 4);
      group.broken.clear();
      assert.deepEqual(await bus.deadLetters.replay(letter.id), { replayed: 1, failed: 0 });
      await group.publish(bus, "a", 5, 6);
      await group.untilHandled("a", [0, 1, 2, 3, 4, 5, 6]);
      await group.publish(bus, "a", 7);
      await group.untilHandled("a", [0, 1, 2, 3, 4, 5, 6, 7]);
      await group.runs.silence(lab.quietMs);
      group.runs.assertOnce(upTo(8));
      assert.equal(await bus.deadLetters.count({ group: lab.group() }), 0);
    },
  );

  test(
    { name: "halt-key: a discard lets what was parked go on without it, and what is live behind", needs: [...needs] },
    async (lab) => {
      const group = new HaltedGroup(lab, ["a0"]);
      const bus = await lab.bus();
      await group.member(bus);
      const letter = await group.halted(bus, "a", 3);
      group.broken.clear(); // a discarded event is not handled though it could be
      assert.equal(await bus.deadLetters.discard(letter.id), 1);
      await group.untilHandled("a", [1, 2, 3]);
      await group.publish(bus, "a", 4);
      await group.untilHandled("a", [1, 2, 3, 4]);
      assert.equal(await bus.deadLetters.count({ group: lab.group() }), 0);
      group.broken.add("a5");
      await group.publish(bus, "a", 5, 6);
      await group.letters(bus, 1);
      assert.equal(await bus.deadLetters.discard({ group: lab.group() }), 1);
      await group.untilHandled("a", [1, 2, 3, 4, 6]);
      await group.runs.silence(lab.quietMs);
    },
  );

  test(
    { name: "halt-key: a replay that fails again keeps its key halted, with the same letter", needs: [...needs] },
    async (lab) => {
      const group = new HaltedGroup(lab, ["a0"]);
      const bus = await lab.bus();
      await group.member(bus);
      const letter = await group.halted(bus, "a", 2);
      for (const round of [1, 2]) {
        await bus.deadLetters.replay(letter.id);
        await until(() => group.runs.attempts(0).length === 2 * (round + 1), "the replay to run as often as before");
        const [again] = await group.letters(bus, 1);
        assert.deepEqual([again?.id, again?.haltsKey], [letter.id, true]);
        await group.settled(bus);
      }
      await group.publish(bus, "a", 3);
      await group.settled(bus);
      await group.runs.silence(lab.quietMs);
      assert.deepEqual(group.handled("a"), []);
      group.broken.clear();
      await bus.deadLetters.replay(letter.id);
      await group.untilHandled("a", [0, 1, 2, 3]);
    },
  );

  test(
    { name: "halt-key: a parked event that fails halts its key anew, with the rest behind it", needs: [...needs] },
    async (lab) => {
      const group = new HaltedGroup(lab, ["a0", "a2", "a3"]);
      const bus = await lab.bus();
      await group.member(bus);
      await group.halted(bus, "a", 4);
      for (const [n, before, after] of [
        [0, [], [0, 1]],
        [2, [0, 1], [0, 1, 2]],
        [3, [0, 1, 2], [0, 1, 2, 3, 4, 5]],
      ] as const) {
        assert.deepEqual(group.handled("a"), before);
        const [letter] = await group.letters(bus, 1);
        assert.deepEqual([letter?.event?.data, letter?.haltsKey, letter?.attempts], [{ n }, true, 2]);
        await group.settled(bus);
        if (n === 2) await group.publish(bus, "a", 5);
        group.broken.delete(`a${n}`);
        await bus.deadLetters.replay(letter!.id);
        await group.untilHandled("a", after);
        if (n !== 3) await until(async () => (await bus.deadLetters.count({ group: lab.group() })) === 1, "the next");
      }
      assert.equal(await bus.deadLetters.count({ group: lab.group() }), 0);
      await group.runs.silence(lab.quietMs);
    },
  );

  test({ name: "halt-key: several keys at once, each by its own letter", needs: [...needs] }, async (lab) => {
    const group = new HaltedGroup(lab, ["a0", "b0", "c1"]);
    const bus = await lab.bus();
    await group.member(bus);
    for (const n of upTo(3)) for (const key of ["a", "b", "c", "d"]) await group.publish(bus, key, n);
    const found = await group.letters(bus, 3);
    await group.untilHandled("d", [0, 1, 2]);
    await group.settled(bus);
    const letter = (key: string): string => found.find(({ event }) => event?.key === key)!.id;
    group.broken.clear();
    await bus.deadLetters.replay(letter("b"));
    await group.untilHandled("b", [0, 1, 2]);
    await bus.deadLetters.discard(letter("c"));
    await group.untilHandled("c", [0, 2]);
    await group.runs.silence(lab.quietMs);
    assert.deepEqual(group.handled("a"), []);
    await bus.deadLetters.replay({ group: lab.group() });
    await group.untilHandled("a", [0, 1, 2]);
  });

  test(
    { name: "halt-key: a key stays halted across a restart and for members that join", needs: [...needs] },
    async (lab) => {
      const group = new HaltedGroup(lab, ["a0", "b0", "c0", "d0"]);
      const keys = ["a", "b", "c", "d"];
      const [first, operator] = [await lab.bus(), await lab.bus()];
      await group.member(first);
      for (const n of upTo(2)) for (const key of keys) await group.publish(operator, key, n);
      await group.letters(operator, 4);
      await group.settled(operator);
      await first.close();
      for (const key of keys) await group.publish(operator, key, 2);
      const members = [await lab.bus(), await lab.bus()];
      for (const [m, bus] of members.entries()) await group.member(bus, `m${m + 2}`);
      for (const key of keys) await group.publish(operator, key, 3);
      await group.publish(operator, "free", 0, 1);
      await group.untilHandled("free", [0, 1]);
      await group.settled(operator);
      await group.runs.silence(lab.quietMs);
      for (const key of keys) assert.deepEqual(group.handled(key), [], `${key} is halted for everybody`);
      group.broken.clear();
      assert.deepEqual(await operator.deadLetters.replay({ group: lab.group() }), { replayed: 4, failed: 0 });
      for (const key of keys) await group.publish(operator, key, 4);
      for (const key of keys) await group.untilHandled(key, [0, 1, 2, 3, 4]);
      await group.runs.silence(lab.quietMs);
    },
  );

  test(
    {
      name: "halt-key: what is parked keeps its order, and none is lost, when its member is cut off while handing it out",
      needs: [...needs],
      short: { at: 2, parked: 4 },
      timeoutMs: 120_000,
    },
    async (lab, { at, parked }) => {
      const group = new HaltedGroup(lab, ["a0"]);
      const [first, operator] = [await lab.bus(), await lab.bus()];
      const stuck = Promise.withResolvers<void>();
      await group.member(first, "m1", async ({ n }) => {
        if (n !== at) return;
        stuck.resolve();
        await new Promise(() => undefined);
      });
      const letter = await group.halted(operator, "a", parked);
      group.broken.clear();
      await operator.deadLetters.replay(letter.id);
      await within(stuck.promise, "the parked event to run");
      await first.close({ timeoutMs: 50 });
      await group.publish(operator, "a", parked + 1);
      await group.member(operator, "m2");
      await group.untilHandled("a", upTo(parked + 2));
      await group.runs.silence(lab.quietMs);
      assert.equal(group.runs.attempts(0).length, 3, "the replay was handled once");
      assert.deepEqual(
        group.runs.by("m2").map(({ n }) => n),
        upTo(parked + 2).slice(at),
      );
    },
  );

  test(
    {
      name: "halt-key: keeps the order while keys are halted and replayed and members come and go",
      needs: [...needs],
      short: { messages: 200, keys: 4, moves: 4 },
      full: { messages: 8_000, keys: 32, moves: 12 },
      timeoutMs: 120_000,
    },
    async (lab, { messages, keys, moves }) => {
      const each = messages / keys;
      const names = upTo(keys).map((k) => `k${k}-`); // with a number behind it no two are one name
      const group = new HaltedGroup(
        lab,
        names.flatMap((key) => upTo(each).flatMap((n) => (lab.random() < 0.1 ? [`${key}${n}`] : []))),
      );
      const operator = await lab.bus();
      const published = (async () => {
        for (const n of upTo(each)) await Promise.all(names.map((key) => group.publish(operator, key, n)));
      })();
      let over = false;
      const replaying = (async () => {
        while (!over) {
          const { items } = await operator.deadLetters.list({ group: lab.group() }).catch(() => ({ items: [] }));
          for (const { id, event } of items) {
            group.broken.delete(`${event!.key}${(event!.data as { readonly n: number }).n}`);
            await operator.deadLetters.replay(id);
          }
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      })();
      const slow = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, lab.random() * 2));
      let previous: Bus | undefined;
      for (const move of upTo(moves)) {
        const bus = await lab.bus();
        await group.member(bus, `m${move}`, slow);
        const share = (messages * (move + 1)) / (moves + 1);
        await until(
          () => group.runs.done >= share,
          () => `${share}; ${group.runs.done} were handled`,
          60_000,
        );
        await previous?.close();
        previous = bus;
      }
      await published;
      const all = (): number => new Set(group.runs.handled.map(nameOf)).size;
      await until(
        () => all() === messages,
        () => `all; ${all()} of ${messages} were handled`,
        60_000,
      ).finally(() => (over = true));
      await replaying;
      await group.runs.silence(lab.quietMs);
      if (lab.driver.capabilities.handover === "abrupt") return;
      for (const key of names) assert.deepEqual(group.handled(key), upTo(each), key);
    },
  );

  test(
    { name: "halt-key: whatever makes a letter halts the key, unless there is none", needs: [...needs] },
    async (lab) => {
      const group = new HaltedGroup(lab, []);
      const bus = await lab.bus();
      const work = ({ event, n }: Run): void => {
        if (event.key === "a" && n === 0) throw new Reject("never");
        if (event.key === undefined && n < 2) throw new Error("always");
      };
      await group.member(bus, "m1", work);
      await group.publish(bus, "a", 0, 1);
      for (const n of upTo(3)) await bus.publish(group.item, { n });
      const found = await group.letters(bus, 3);
      assert.deepEqual(
        found.filter(({ haltsKey }) => haltsKey).map(({ event }) => event?.key),
        ["a"],
      );
      await group.settled(bus);
      await group.runs.silence(lab.quietMs);
      assert.deepEqual(
        group.runs.handled.map(({ event, n }) => [event.key, n]),
        [[undefined, 2]],
      );
    },
  );

  test(
    { name: "halt-key: a group that was deleted has no halted keys when it is made anew", needs: [...needs] },
    async (lab) => {
      const group = new HaltedGroup(lab, ["a0"]);
      const [first, operator] = [await lab.bus(), await lab.bus()];
      await group.member(first);
      await group.halted(operator, "a", 2);
      await first.close();
      assert.equal(await operator.groups.delete(lab.group()), true);
      group.broken.clear();
      await group.member(operator, "m2");
      await group.untilHandled("a", [0, 1, 2]);
    },
  );

  test(
    { name: "halt-key: refused where nothing could wait for the letter", needs: ["groups", "order", "state"] },
    async (lab) => {
      const bus = await lab.bus();
      const item = lab.event();
      const group = lab.group();
      const handler = (): void => undefined;
      for (const options of [
        { group, order: "process" },
        { group, order: "none" },
        { group, live: true },
        {},
      ] as const) {
        const error = await rejection(bus.subscribe(item, handler, { ...options, ...halting }), "BUS_INVALID_OPTION");
        assert.match(error.message, /halt-key/);
      }
      assert.deepEqual(await bus.groups.list(), [], "none was made");
      await bus.subscribe(item, handler, { group, ...halting });
      assert.equal((await bus.groups.info(group)).order, "group");
      await rejection(bus.subscribe(item, handler, { group, name: "other" }), "BUS_CONFLICT");
    },
  );

  test(
    { name: "halt-key: refused where there is no state store", lacks: "state", needs: ["groups", "order"] },
    async (lab) => {
      const bus = await lab.bus();
      const options = { group: lab.group(), ...halting };
      const error = await rejection(
        bus.subscribe(lab.event(), () => undefined, options),
        "BUS_UNSUPPORTED",
      );
      assert.match(error.message, /halt-key.*state/);
      assert.deepEqual(await bus.groups.list(), [], "none was made");
      assert.equal((await lab.driverEnd()).connection.state, undefined, "and there really is none");
    },
  );
}
