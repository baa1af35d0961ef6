import assert from "node:assert/strict";
import { rejection } from "./rejection.ts";
import { type Run, Runs } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { until } from "./until.ts";
import { publishKeyed, assertOrder } from "./keyed.ts";

/** docs/guarantees.md, Order: order in one process, no order, and that it is fixed when the group is made. */
export function looserOrderTests({ test }: Suite): void {
  test(
    { name: "refuses order across members where it cannot keep it", lacks: "order", needs: ["groups"] },
    async (lab) => {
      const bus = await lab.bus();
      await rejection(
        bus.subscribe(lab.event(), () => undefined, { group: lab.group(), order: "group" }),
        "BUS_UNSUPPORTED",
      );
      await bus.subscribe(lab.event(), () => undefined, { group: lab.group() });
      assert.equal((await bus.groups.info(lab.group())).order, "process", "the next best, where nothing was asked");
      const end = await lab.driverEnd();
      await end.refuses(end.ensureGroup(lab.group("driver"), { order: "group" }), "it made an ordered group");
    },
  );

  test(
    {
      name: "order process: one event of a key at a time in this process, retries included",
      needs: ["groups", "replay"],
      short: { messages: 160, keys: 8 },
      full: { messages: 8_000, keys: 64 },
    },
    async (lab, { messages, keys }) => {
      const item = lab.event();
      const bus = await lab.bus();
      await publishKeyed(bus, item, messages, keys);
      const work = async ({ attempt }: Run): Promise<void> => {
        await new Promise((resolve) => setTimeout(resolve, lab.random() * 2));
        if (attempt === 1 && lab.random() < 0.2) throw new Error("now and then");
      };
      await assertOrder(lab, item, [bus], messages, { order: "process", concurrency: 16 }, work);
    },
  );

  test(
    { name: "order none: events of one key run side by side", needs: ["groups"], short: { messages: 8 } },
    async (lab, { messages }) => {
      const bus = await lab.bus();
      const item = lab.event();
      const runs = new Runs();
      const gate = Promise.withResolvers<void>();
      await bus.subscribe(
        item,
        runs.handler("m1", () => gate.promise),
        { group: lab.group(), order: "none", concurrency: messages },
      );
      await publishKeyed(bus, item, messages, 1);
      await until(
        () => runs.active === messages,
        () => `${messages} at once; ${runs.active} run`,
      );
      gate.resolve();
      await until(() => runs.done === messages, "all");
    },
  );

  test({ name: "fixes a group's order when it is made", needs: ["groups"] }, async (lab) => {
    const [bus, other] = [await lab.bus(), await lab.bus()];
    const item = lab.event();
    await bus.subscribe(item, () => undefined, { group: lab.group(), order: "none" });
    await rejection(
      other.subscribe(item, () => undefined, { group: lab.group(), order: "process" }),
      "BUS_CONFLICT",
    );
    await other.subscribe(item, () => undefined, { group: lab.group() });
    assert.equal((await other.groups.info(lab.group())).order, "none", "as stored");
    await bus.subscribe(item, () => undefined, { group: lab.group("new") });
    assert.equal((await bus.groups.info(lab.group("new"))).order, lab.driver.capabilities.order ? "group" : "process");
  });
}
