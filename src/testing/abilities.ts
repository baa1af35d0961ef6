import assert from "node:assert/strict";
import type { Capabilities, Consumption, InMessage, Sink } from "../driver.ts";
import type { DriverEnd } from "./driver-end.ts";
import type { Lab } from "./lab.ts";
import { silence, until } from "./until.ts";
import type { Suite } from "./suite.ts";

/** From the strongest to the weakest. */
const ranks: { readonly [Name in keyof Capabilities]?: readonly Capabilities[Name][] } = {
  publishOrder: ["prefix", "best-effort"],
  delay: ["native", "moved", "none"],
  schedules: ["native", "attached", "none"],
  state: ["native", "attached", "none"],
  filter: ["native", "client"],
  fencing: ["all", "ordered", "none"],
  handover: ["drained", "abrupt"],
  losses: ["counted", "said"],
};

/** What a driver declares is what it does: the core, the docs and the skips of this suite go by it. */
export function abilityTests({ test }: Suite): void {
  test({ name: "promises no more once it is connected than it declared" }, async (lab) => {
    const declared = lab.driver.capabilities;
    const connected = (await lab.bus()).driver?.capabilities;
    assert.ok(connected !== undefined);
    for (const name of Object.keys(declared) as (keyof Capabilities)[])
      assert.ok(
        isWithin(name, connected[name], declared[name]),
        `declared ${name}: ${String(declared[name])}, connected: ${String(connected[name])}`,
      );
    assert.deepEqual((await lab.driverEnd()).connection.capabilities, connected, "the same for every connection");
  });

  test({ name: "has no state store where it declares that it has none", lacks: "state" }, async (lab) => {
    assert.equal((await lab.driverEnd()).connection.state, undefined);
  });

  test(
    {
      name: "changes nothing by what a former owner settles, and tells it so",
      needs: ["fencing", "groups", "replay"],
    },
    async (lab) => {
      const { former, present } = await handedOver(lab);
      const [message] = former.messages as [InMessage];
      const settlement = { how: "retry", message, delayMs: 0, attempts: 1, headers: [] } as const;
      assert.deepEqual(await former.consumption.settle([settlement]), ["stale"]);
      assert.deepEqual(await former.consumption.record([{ ...settlement, notBefore: undefined }]), ["stale"]);
      present.consumption.ack(present.messages);
      await present.consumption.flush();
      await silence(() => present.messages.length + former.messages.length, "deliveries", lab.quietMs);
      assert.equal(present.messages.length, 1);
    },
  );

  test(
    {
      name: "changes nothing by what a former owner of an ordered group settles, and tells it so",
      needs: ["ordered fencing", "groups", "replay", "order"],
    },
    async (lab) => {
      const { former, present } = await handedOver(lab, "group");
      const [message] = former.messages as [InMessage];
      former.consumption.ack([message]);
      assert.deepEqual(await former.consumption.record([{ message, attempts: 1, notBefore: undefined, headers: [] }]), [
        "stale",
      ]);
      present.consumption.ack(present.messages);
      await present.consumption.flush();
      await silence(() => present.messages.length + former.messages.length, "deliveries", lab.quietMs);
      assert.equal(present.messages.length, 1);
    },
  );

  test(
    {
      name: "counts what a former owner settles, where it can't fence it off",
      lacks: "ordered fencing",
      needs: ["groups", "replay"],
    },
    async (lab) => {
      const { former, present } = await handedOver(lab);
      const [message] = former.messages as [InMessage];
      const settlement = { how: "retry", message, delayMs: 0, attempts: 1, headers: [] } as const;
      assert.deepEqual(await former.consumption.settle([settlement]), ["done"]);
      present.consumption.ack(present.messages);
      await until(() => present.messages.length + former.messages.length > 2, "the retry to come, settled or not");
    },
  );
}

function isWithin(name: keyof Capabilities, actual: Capabilities[typeof name], declared: typeof actual): boolean {
  if (actual === declared) return true;
  const rank = ranks[name] as readonly unknown[] | undefined;
  if (rank !== undefined) return rank.indexOf(actual) > rank.indexOf(declared);
  if (name === "dedupeWindowMs") return (actual as number) < (declared as number);
  if (name === "maxHoldMs" || name === "maxMessageBytes")
    return actual !== undefined && (declared === undefined || actual < declared);
  return actual === false;
}

interface Taken {
  readonly consumption: Consumption;
  readonly messages: InMessage[];
}

/** One message that the first had in hand when its group was deleted; the second has it in a new group of that name. */
async function handedOver(
  lab: Lab,
  order: "none" | "group" = "none",
): Promise<{ readonly former: Taken; readonly present: Taken }> {
  const bus = await lab.bus();
  const item = lab.event();
  const [one, two] = [await lab.driverEnd(), await lab.driverEnd()];
  const reads = [{ stream: "events", patterns: [item.pattern] }];
  await one.ensureGroup(lab.group(), { reads, order });
  const former = await taking(one, lab.group());
  await bus.publish(item, { n: 1 });
  await until(() => former.messages.length === 1, "the first owner to have it");
  await two.connection.admin.deleteGroup(lab.group());
  await two.ensureGroup(lab.group(), { reads, order, from: { at: "oldest" } });
  const present = await taking(two, lab.group());
  await until(() => present.messages.length === 1, "the second owner to have it");
  return { former, present };
}

async function taking({ connection }: DriverEnd, group: string): Promise<Taken> {
  const messages: InMessage[] = [];
  const sink: Sink = {
    deliver: (delivered) => void messages.push(...delivered),
    revoked: () => undefined,
    floor: () => undefined,
    spec: () => undefined,
    lost: () => undefined,
    ended: () => undefined,
  };
  const window = { messages: 10, bytes: 1_048_576 };
  return { messages, consumption: await connection.consume({ kind: "group", group, resume: undefined }, sink, window) };
}
