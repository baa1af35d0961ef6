import assert from "node:assert/strict";
import { type Run, Runs, upTo } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { until, within } from "./until.ts";

/** docs/guarantees.md, Handling: what becomes of a message that one member had in hand and another gets. */
export function takeoverTests({ test }: Suite): void {
  test(
    {
      name: "aborts a handler whose message was taken away, and ignores how it ends",
      needs: ["groups", "replay"],
    },
    async (lab) => {
      const [bus, operator] = [await lab.bus(), await lab.bus()];
      const item = lab.event();
      const runs = new Runs();
      const aborted = Promise.withResolvers<void>();
      const gate = Promise.withResolvers<void>();
      const work = async (_: Run, { signal }: { readonly signal: AbortSignal }): Promise<void> => {
        if (runs.all.length > 1) return;
        signal.addEventListener("abort", () => aborted.resolve());
        await gate.promise;
        throw new Error("nobody's business any more");
      };
      await bus.subscribe(item, runs.handler("m1", work), { group: lab.group(), order: "none" });
      await operator.publish(item, { n: 1 });
      await runs.untilStarted(1);
      await operator.groups.delete(lab.group());
      await within(aborted.promise, "the handler to be told");
      await runs.untilStarted(2); // the group came back, from before its oldest unsettled
      gate.resolve();
      await until(() => runs.active === 0, "both to end");
      await runs.silence(lab.quietMs);
      assert.deepEqual([runs.all.length, runs.handled.length], [2, 1]);
      await until(async () => {
        const { waiting, inFlight } = await operator.groups.info(lab.group());
        return waiting + inFlight === 0;
      }, "nothing to be left");
      assert.equal((await operator.groups.info(lab.group())).deadLetters, 0);
    },
  );

  test(
    {
      name: "runs one at a time what was in hand when its owner was cut off, and nothing fresh beside it",
      needs: ["groups"],
      short: { suspects: 4, messages: 12 },
      full: { suspects: 16, messages: 200 },
      timeoutMs: 120_000,
    },
    async (lab, { suspects, messages }) => {
      const [bus, other] = [await lab.bus(), await lab.bus()];
      const item = lab.event();
      const [cutOff, runs] = [new Runs(), new Runs()];
      const options = { group: lab.group(), order: "none", concurrency: suspects } as const;
      await bus.subscribe(
        item,
        cutOff.handler("cut off", () => new Promise(() => undefined)),
        options,
      );
      for (const n of upTo(suspects)) await other.publish(item, { n });
      await cutOff.untilStarted(suspects);
      assert.deepEqual(await within(bus.close({ timeoutMs: 100 }), "close"), { unfinished: suspects });
      for (const n of upTo(messages)) await other.publish(item, { n: suspects + n });
      const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 3));
      await other.subscribe(item, runs.handler("other", pause), options);
      await until(
        () => runs.numbers().length === suspects + messages,
        () => `all handled; ${runs.numbers().length} were`,
        (lab.driver.leaseMs ?? 10_000) + 30_000,
      );
      runs.assertOnce(upTo(suspects + messages));
      const overlaps = (one: Run, two: Run): boolean =>
        one !== two && one.startedAt < (two.endedAt ?? Infinity) && two.startedAt < (one.endedAt ?? Infinity);
      for (const suspect of runs.all.filter(({ n }) => n < suspects)) {
        const beside = runs.all.filter((run) => run.startedAt > suspect.startedAt && overlaps(run, suspect));
        assert.deepEqual(
          beside.map(({ n }) => n),
          [],
          `started beside suspect ${suspect.n}`,
        );
      }
    },
  );

  for (const order of ["none", "process"] as const) {
    test(
      { name: `another member's retry runs only the handlers that are not done (order: ${order})`, needs: ["groups"] },
      async (lab) => {
        const [bus, other] = [await lab.bus(), await lab.bus()];
        const item = lab.event();
        const [before, after] = [new Runs(), new Runs()];
        const options = {
          group: lab.group(),
          order,
          retry: { backoff: { baseMs: 1_000, jitter: 0 } }, // the other has both handlers by then
        };
        const fail = (): void => {
          throw new Error("not here");
        };
        await bus.subscribe(item, before.handler("steady"), { ...options, name: "steady" });
        await bus.subscribe(item, before.handler("shaky", fail), { ...options, name: "shaky" });
        await other.publish(item, { n: 1 });
        await before.untilStarted(2);
        await bus.close();
        const failures = before.by("shaky").length;
        // The one that is not done first: it may come as soon as there is any.
        for (const name of ["shaky", "steady"]) await other.subscribe(item, after.handler(name), { ...options, name });
        await until(() => after.handled.length === 1, "the rest to be done");
        await after.silence(lab.quietMs);
        assert.deepEqual([after.by("steady").length, before.by("steady").length], [0, 1]);
        assert.deepEqual(
          after.by("shaky").map(({ attempt }) => attempt),
          [failures + 1],
        );
      },
    );
  }
}
