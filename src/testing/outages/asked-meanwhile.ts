import assert from "node:assert/strict";
import { defineRequest, isBusError, typed } from "../../index.ts";
import { until, within } from "../until.ts";
import { assertDown } from "./broker-faults.ts";
import type { RecoveryLab } from "./recovery-lab.ts";
import type { RecoverySuite } from "./recovery-topics.ts";

/** Beyond what a driver takes to see that nothing answers: a publish's tries and their waits. */
const moreMs = 10_000;

/** No promise is left pending: whatever is asked while nothing answers ends, well or with an error of ours. */
export function askedMeanwhile({ test }: RecoverySuite): void {
  const needs = ["broker", "durable", "groups", "replay"] as const;
  for (const [how, begin, end] of [
    ["gone", (lab: RecoveryLab) => lab.broker.kill(), (lab: RecoveryLab) => lab.broker.start()],
    ["silent", (lab: RecoveryLab) => lab.broker.pause(), (lab: RecoveryLab) => lab.broker.resume()],
  ] as const)
    test({ name: `what is asked while the broker is ${how} ends`, needs }, async (lab) => {
      const [bus, leaving] = [await lab.bus(), await lab.bus()];
      const [item, more] = [lab.event(), lab.event("more")];
      const [group, other] = [lab.group("g"), lab.group("other")];
      const ask = defineRequest(lab.topic("ask"), { request: typed<number>(), response: typed<number>() });
      const handler = lab.journal.handler("m", () => undefined);
      const grouped = await bus.subscribe(item, handler, { group, order: "none" });
      const tail = await bus.subscribe(item, () => undefined);
      await leaving.subscribe(item, handler, { group, order: "none" });
      await bus.respond(ask, (n) => n);
      assert.equal(await bus.request(ask, 1), 1);
      await begin(lab);
      const asked: readonly (readonly [what: string, promise: Promise<unknown>])[] = [
        ["publish", bus.publish(item, { n: 0 })],
        ["publishMany", bus.publishMany([item.of({ n: 1 }), item.of({ n: 2 })])],
        ["flush", bus.flush()],
        ["request", bus.request(ask, 1, { timeoutMs: 1_000 })],
        ["health", bus.health()],
        ["groups.list", bus.groups.list()],
        ["groups.info", bus.groups.info(group)],
        ["streams.list", bus.streams.list()],
        ["deadLetters.count", bus.deadLetters.count({ group })],
        ["deadLetters.list", bus.deadLetters.list({ group })],
        ["subscribe, a group", bus.subscribe(item, handler, { group: other, order: "none" })],
        ["subscribe, on its own", bus.subscribe(more, () => undefined)],
        ["unsubscribe, of a group", grouped.unsubscribe()],
        ["unsubscribe, on its own", tail.unsubscribe()],
        ["close", leaving.close({ timeoutMs: 2_000 })],
      ];
      const pending = new Set(asked.map(([what]) => what));
      const foreign: string[] = [];
      for (const [what, promise] of asked)
        void promise
          .catch((error: unknown) => void (isBusError(error) || foreign.push(`${what}: ${String(error)}`)))
          .finally(() => pending.delete(what));
      await assertDown([bus], lab.silenceMs + moreMs);
      await until(
        () => pending.size === 0,
        () => `everything to end; what did not: ${[...pending].join(", ")}`,
        lab.silenceMs + moreMs,
      );
      assert.deepEqual(foreign, [], "what fails, fails with an error of ours");

      await end(lab);
      const id = lab.topic("after");
      const published = until(() => bus.publish(item, { n: 3 }, { id }).then(Boolean, () => false), "it to be stored");
      await within(published, "a publish after the broker's return");
      const handled = (): boolean => lab.journal.history.some((record) => record.op === "handled" && record.id === id);
      const again = (): Promise<unknown> => bus.subscribe(item, handler, { group, order: "none" });
      await until(() => again().then(Boolean, () => false), "the group to be joined again");
      await until(handled, "what was published after the broker's return");
      assert.deepEqual(lab.watch.complaints, []);
    });
}
