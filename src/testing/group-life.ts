import assert from "node:assert/strict";
import { rejection } from "./rejection.ts";
import { Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { until } from "./until.ts";

/** docs/guarantees.md, Groups: where a group begins, and that it goes on over members that come and go. */
export function groupLifeTests({ test }: Suite): void {
  test(
    {
      name: "starts a new group at the oldest, the newest, a time or a position, as asked",
      needs: ["groups", "replay"],
    },
    async (lab) => {
      const bus = await lab.bus();
      const item = lab.event();
      await bus.publish(item, { n: 1 });
      const positions = await bus.streams.positions("events");
      await until(() => Date.now() % 1_000 < 990, "a moment that is not the end of a second");
      const from = Date.now() + 3;
      await until(() => Date.now() > from, "the clock to go on");
      const time = new Date();
      await until(() => Date.now() > time.getTime() + 3, "the clock to go on");
      await bus.publish(item, { n: 2 });
      const starts = { oldest: "oldest", newest: "newest", time, positions: { positions }, none: undefined } as const;
      const all = await Promise.all(
        Object.entries(starts).map(async ([name, start]) => {
          const runs = new Runs();
          await bus.subscribe(item, runs.handler(), { group: lab.group(name), from: start });
          return { name, runs };
        }),
      );
      await bus.publish(item, { n: 3 });
      const expected: Record<keyof typeof starts, number[]> = {
        oldest: [1, 2, 3],
        newest: [3],
        time: [2, 3],
        positions: [2, 3],
        none: [1, 2, 3],
      };
      for (const { name, runs } of all) {
        await runs.until(expected[name as keyof typeof starts].length, `items of the group that starts at ${name}`);
        await runs.silence(lab.quietMs / 2);
        runs.assertOnce(expected[name as keyof typeof starts]);
      }
    },
  );

  test(
    {
      name: "refuses to start a group in the past where it can't, and by itself gives it only what comes later",
      lacks: "replay",
      needs: ["groups"],
    },
    async (lab) => {
      const bus = await lab.bus();
      const item = lab.event();
      await bus.publish(item, { n: 1 });
      for (const from of ["oldest", new Date(0), { positions: {} }] as const)
        await rejection(
          bus.subscribe(item, () => undefined, { group: lab.group("past"), from }),
          "BUS_UNSUPPORTED",
        );
      const runs = new Runs();
      await bus.subscribe(item, runs.handler(), { group: lab.group() });
      await bus.subscribe(item, runs.handler(), { group: lab.group("asked"), from: "newest" });
      await bus.publish(item, { n: 2 });
      await until(() => runs.handled.length >= 2, "both groups to have what came later");
      await runs.silence(lab.quietMs);
      runs.assertOnce([2, 2]);
      const end = await lab.driverEnd();
      for (const from of [{ at: "oldest" }, { time: 0 }, { positions: {} }] as const)
        await end.refuses(end.ensureGroup(lab.group("driver"), { from }), "it started a group in the past");
    },
  );

  test(
    {
      name: "gives every new group all that came before it",
      needs: ["groups", "replay"],
      short: { rounds: 3 },
      full: { rounds: 20 },
    },
    async (lab, { rounds }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const groups: Runs[] = [];
      await bus.publish(item, { n: 0 });
      for (const round of upTo(rounds)) {
        await bus.publish(item, { n: round + 1 });
        const runs = new Runs();
        groups.push(runs);
        await bus.subscribe(item, runs.handler(), { group: lab.group(`g${round}`) });
        for (const each of groups) await each.until(round + 2);
      }
      for (const each of groups) each.assertOnce(upTo(rounds + 1));
    },
  );

  test(
    {
      name: "goes on where a group stopped, over many members that come and go",
      needs: ["groups", "durable"],
      short: { messages: 100, cycles: 6, concurrency: 4 },
      full: { messages: 5_000, cycles: 20, concurrency: 16 },
    },
    async (lab, { messages, cycles, concurrency }) => {
      const item = lab.event();
      const publisher = await lab.bus();
      await Promise.all(upTo(messages).map((n) => publisher.publish(item, { n })));
      const runs = new Runs();
      let unfinished = 0;
      for (const cycle of upTo(cycles)) {
        const bus = await lab.bus();
        const share = Math.ceil((messages * (cycle + 1)) / (cycles + 1));
        const slow = () => new Promise((resolve) => setTimeout(resolve, 2));
        await bus.subscribe(item, runs.handler(`c${cycle}`, slow), { group: lab.group(), concurrency });
        await runs.until(share);
        unfinished += (await bus.close()).unfinished;
        assert.deepEqual(await bus.close(), { unfinished: 0 }, "closing twice is fine");
      }
      const last = await lab.bus();
      await last.subscribe(item, runs.handler("last"), { group: lab.group() });
      await runs.until(messages);
      await runs.silence(lab.quietMs);
      assert.deepEqual(
        runs.numbers().toSorted((a, b) => a - b),
        upTo(messages),
      );
      const repeats = runs.handled.length - messages;
      assert.ok(repeats <= unfinished, `${repeats} repeats, ${unfinished} were unfinished at a close`);
      assert.deepEqual(new Set(runs.all.map((run) => run.attempt)), new Set([1]), "nobody paid an attempt");
    },
  );

  test(
    {
      name: "keeps for a group what is published while no member is there",
      needs: ["groups"],
      short: { messages: 20 },
    },
    async (lab, { messages }) => {
      const item = lab.event();
      const publisher = await lab.bus();
      const runs = new Runs();
      const first = await lab.bus();
      await first.subscribe(item, runs.handler("first"), { group: lab.group() });
      await publisher.publish(item, { n: 0 });
      await runs.until(1);
      await first.close();
      for (const n of upTo(messages)) await publisher.publish(item, { n: n + 1 });
      const second = await lab.bus();
      // It exists, so where it would start if it were new does not matter.
      await second.subscribe(item, runs.handler("second"), { group: lab.group(), from: "newest" });
      await runs.until(messages + 1);
      await runs.silence(lab.quietMs);
      runs.assertOnce(upTo(messages + 1));
      assert.equal(runs.by("second").length, messages);
    },
  );
}
