import assert from "node:assert/strict";
import type { Bus, BusStatus } from "../../index.ts";
import { nothingDuplicated } from "../invariants/delivery.ts";
import { until } from "../until.ts";
import { againMs, assertNone, assertRecovered, assertSaid, recovered } from "./aftermath.ts";
import { deliversAgain, firstFresh, stillRunning } from "./judgement.ts";
import { ticks } from "./journal.ts";
import { Load } from "./load.ts";
import type { RecoveryLab } from "./recovery-lab.ts";
import type { RecoverySuite } from "./recovery-topics.ts";
import type { RecoveryNeed } from "./recovery-under-test.ts";

interface Way {
  readonly by: string;
  /** Whether the members of both groups are told: by its own means a broker may delete less than what they hold on to. */
  readonly all: boolean;
  readonly needs: readonly RecoveryNeed[];
  readonly group: (lab: RecoveryLab, operator: Bus, group: string) => Promise<void>;
}

const byAdmin: Way = {
  by: "by another bus",
  all: true,
  needs: [],
  group: async (_, operator, group) => assert.equal(await operator.groups.delete(group), true),
};
const natively: Way = {
  by: "natively",
  all: false,
  needs: ["native group"],
  group: async ({ driver, names }, _, group) => driver.deleteGroupNatively?.({ ...names, group }),
};

/** What somebody deletes at the broker under those who use it. */
export function deletions({ test }: RecoverySuite): void {
  for (const { by, all, needs, group: remove } of [byAdmin, natively])
    test(
      {
        name: `a group deleted ${by} under its running subscribers`,
        needs: ["durable", "groups", "replay", ...needs],
        short: { publishers: 20 },
      },
      async (lab, { publishers }) => {
        // made again with `from: "newest"` it would lose what it had not handled, if the place where it was did not count
        const load = await Load.start(lab, publishers, { from: "newest" });
        const operator = await lab.bus();
        await load.busy();
        const from = ticks();
        const before = load.consumers.map((bus) => lab.said(bus).length);
        await Promise.all(load.groups.map((group) => remove(lab, operator, group)));
        const since = ticks();
        await recovered(lab, load, since);
        // Who has not heard of it yet works on what he has, while others begin again.
        await until(
          () => load.consumers.every((bus, index) => beganAgain(lab, bus, before[index]!) >= (all ? 2 : 1)),
          "every member to begin again",
        );
        assertSaid(lab, load.consumers, "reconnecting");
        const again = ticks();
        // what its former members had in hand by then ends beside the new ones' work
        await until(() => stillRunning(lab.journal.history, again) === 0, "what was in hand to end");
        const over = ticks();
        // repeats are allowed, also of what one began who had not heard yet that another knew an earlier place
        const faults = [{ from: -Infinity, until: over + lab.repeatsMs }];
        await assertRecovered(lab, load, { faults, since, disowned: { from, until: over } });
        const twice = twiceStored(lab, from, since);
        assertNone(
          nothingDuplicated(lab.journal.history.filter((each) => each.process === "tail" && !twice.has(each.id))),
        );
      },
    );

  test(
    {
      name: "a stream deleted by another bus under its running subscribers: the next one takes over",
      needs: ["durable", "groups"],
      short: { messages: 40 },
    },
    async (lab, { messages }) => {
      const stream = { name: lab.group("own"), topics: [lab.topic(">")] };
      const { streams = [{ name: "events", topics: [">"] }] } = lab.config();
      const operator = await lab.bus({ streams: [...streams, stream] });
      // What was in it was meant to go; what is published afterwards goes to the next stream.
      await assertFlowing(lab, operator, messages, async () => {
        assert.equal(await operator.streams.delete(stream.name), true);
      });
    },
  );

  test(
    {
      name: "a stream deleted natively under its running subscribers: what was lost is said",
      needs: ["durable", "groups", "native stream"],
      short: { messages: 40 },
    },
    async (lab, { messages }) => {
      const operator = await lab.bus();
      const load = await assertFlowing(lab, operator, messages, async () =>
        lab.driver.deleteStreamNatively?.({ ...lab.names, stream: "events" }),
      );
      const silent = (): readonly string[] =>
        load.groups.filter((group, index) => !saysLost(lab, load.consumers[index]!, group));
      await until(
        () => silent().length === 0,
        () => `every group to be told that messages are lost; ${silent().join(" and ")} had ${messages - 1} before it`,
      );
    },
  );
}

/**
 * What may be there twice: who remembers no ids takes an event again whose outcome was unknown, also one that the bus itself tried again,
 * since it was under way while queues were deleted.
 */
function twiceStored({ driver, journal }: RecoveryLab, from: number, until: number): ReadonlySet<string | undefined> {
  if (driver.capabilities.dedupeWindowMs !== 0) return new Set();
  const begun = new Map<string, number>();
  for (const { op, id, at } of journal.history) if (op === "publish-started" && !begun.has(id)) begun.set(id, at);
  const isTwice = ({ op, id, at }: (typeof journal.history)[number]): boolean =>
    op === "publish-unknown" || (op === "published" && at >= from && (begun.get(id) ?? at) <= until);
  return new Set(journal.history.filter(isTwice).map(({ id }) => id));
}

/** Subscribers with a backlog lose it with its stream, and are well again: what is published afterwards reaches them soon. */
async function assertFlowing(
  lab: RecoveryLab,
  operator: Bus,
  messages: number,
  remove: () => Promise<void>,
): Promise<Load> {
  const { journal } = lab;
  const load = new Load(lab, operator, [await lab.bus(), await lab.bus()]);
  const gate = Promise.withResolvers<void>();
  for (const [index, bus] of load.consumers.entries()) {
    const handler = journal.handler(`m${index}`, () => gate.promise);
    const group = load.groups[index]!;
    const order = index === 0 && lab.driver.capabilities.order ? "group" : "none";
    await bus.subscribe(load.item, handler, { group, order, concurrency: 1 });
  }
  await load.consumers[0].subscribe(
    load.item,
    journal.handler("tail", () => undefined),
  );
  for (let n = 0; n < messages; n++) await load.publish(`p${n}`, `${lab.topic("old")}-${n}`, 0);
  await until(() => journal.active === 2, "both groups to have begun");
  await remove();
  const over = ticks();
  gate.resolve();
  let probes = 0;
  await until(
    async () => {
      await load.publish("probe", `${lab.topic("new")}-${probes}`, probes++);
      return [...load.groups, undefined].every((group) => firstFresh(journal.history, group, over) !== undefined);
    },
    () =>
      `new events to flow; they do: ${[...load.groups, undefined].map((group) => firstFresh(journal.history, group, over) !== undefined).join(", ")}`,
    20_000,
  );
  assertNone(deliversAgain(journal.history, [...load.groups, undefined], over, againMs));
  let health = "";
  await until(
    async () => {
      const healths = await Promise.all(load.consumers.map((bus) => bus.health()));
      health = healths.map(({ status, reasons }) => `${status} (${reasons.join("; ")})`).join(" and ");
      return healths.every(({ status }) => status === "up");
    },
    () => `both to be up; they are ${health}`,
  );
  assert.deepEqual(lab.watch.complaints, []);
  return load;
}

/** How many of a bus's subscriptions did since, when none is on its way. */
function beganAgain(lab: RecoveryLab, bus: Bus, since: number): number {
  const types = lab
    .said(bus)
    .slice(since)
    .map(({ type }) => type);
  const count = (wanted: BusStatus["type"]): number => types.filter((type) => type === wanted).length;
  return count("reconnecting") > count("connected") ? 0 : count("connected");
}

const saysLost = (lab: RecoveryLab, bus: Bus, group: string): boolean =>
  lab.said(bus).some((status) => status.type === "messages-lost" && status.stream.includes(group));
