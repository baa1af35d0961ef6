import assert from "node:assert/strict";
import { type Bus, isBusError } from "../../index.ts";
import { rejection } from "../rejection.ts";
import { until, within } from "../until.ts";
import { againMs, assertHit, assertRecovered, assertSaid, recovered } from "./aftermath.ts";
import { ticks } from "./journal.ts";
import type { FaultWindow } from "./judgement.ts";
import { Load } from "./load.ts";
import type { RecoveryLab } from "./recovery-lab.ts";
import type { RecoverySuite } from "./recovery-topics.ts";

interface Outage {
  readonly begin: () => Promise<void>;
  readonly end: () => Promise<void>;
  readonly outageMs: number;
}

type Kills = Readonly<Record<"publishers" | "outageMs" | "kills", number>>;

/** A fault of the broker's process under load. Returns when it began and was over. */
async function outage(
  lab: RecoveryLab,
  load: Load,
  { begin, end, outageMs }: Outage,
): Promise<FaultWindow & { readonly since: number }> {
  await load.busy();
  const from = ticks();
  await begin();
  await assertDown(load.buses);
  await until(() => ticks() - from >= outageMs, "the outage to be long enough", outageMs + 1_000);
  await end();
  const since = ticks();
  return { from, since, until: await recovered(lab, load, since) };
}

export async function assertDown(buses: readonly Bus[], withinMs = 10_000): Promise<void> {
  let seen = "";
  await until(
    async () => {
      const healths = await Promise.all(
        buses.map((bus) => within(bus.health({ timeoutMs: 300 }), "health to be told", 5_000)),
      );
      seen = healths.map(({ status }) => status).join(", ");
      return healths.every(({ status }) => status === "down");
    },
    () => `health to be down; it is ${seen}`,
    withinMs,
  );
}

export function brokerFaults({ test }: RecoverySuite): void {
  const needs = ["broker", "durable", "groups"] as const;
  const kills: readonly {
    readonly name: string;
    readonly short: Kills;
    readonly full: Kills;
  }[] = [
    {
      name: "the broker killed and started again after a second",
      short: { publishers: 20, outageMs: 1_000, kills: 1 },
      full: { publishers: 20, outageMs: 1_000, kills: 5 },
    },
    {
      name: "the broker killed and started again after a while",
      short: { publishers: 20, outageMs: 5_000, kills: 1 },
      full: { publishers: 20, outageMs: 40_000, kills: 1 },
    },
  ];
  for (const spec of kills)
    test({ needs, ...spec }, async (lab, { publishers, outageMs, kills: times }) => {
      const load = await Load.start(lab, publishers);
      const faults = [];
      for (let n = 0; n < times; n++)
        faults.push(
          await outage(lab, load, { begin: () => lab.broker.kill(), end: () => lab.broker.start(), outageMs }),
        );
      assertSaid(lab, load.buses, "disconnected");
      assertHit(lab);
      await assertRecovered(lab, load, { faults, since: faults.at(-1)!.since });
    });

  test(
    { name: "the broker restarted as an operator would", needs, short: { publishers: 20 } },
    async (lab, { publishers }) => {
      const load = await Load.start(lab, publishers);
      await load.busy();
      const from = ticks();
      await lab.broker.restart();
      const since = ticks();
      const until = await recovered(lab, load, since);
      assertSaid(lab, load.buses, "disconnected");
      await assertRecovered(lab, load, { faults: [{ from, until }], since });
    },
  );

  test(
    {
      name: "the broker paused",
      needs,
      short: { publishers: 20, outageMs: 5_000 },
      full: { publishers: 20, outageMs: 40_000 },
    },
    async (lab, { publishers, outageMs }) => {
      const load = await Load.start(lab, publishers);
      const fault = await outage(lab, load, {
        begin: () => lab.broker.pause(),
        end: () => lab.broker.resume(),
        outageMs,
      });
      assertHit(lab);
      await assertRecovered(lab, load, { faults: [fault], since: fault.since });
    },
  );

  test(
    { name: "started before the broker is there", needs, short: { publishers: 20, outageMs: 1_000 } },
    async (lab, { publishers, outageMs }) => {
      await lab.broker.kill();
      const patient = { connectTimeoutMs: 300 };
      const load = new Load(lab, lab.unconnected(patient), [lab.unconnected(patient), lab.unconnected(patient)]);
      const refused = await rejection(lab.bus(patient), "BUS_CONNECTION");
      assert.ok(refused.retryable && refused.message.includes("300 ms"), refused.message);
      await load.subscribe();
      load.run(publishers);
      const connecting = load.buses.map((bus) =>
        bus.connect().then(
          () => undefined,
          (error: unknown) => error,
        ),
      );
      await assertDown(load.buses);
      const from = ticks();
      await until(() => ticks() - from >= outageMs, "everybody to have tried", outageMs + 1_000);
      await lab.broker.start();
      const since = ticks();
      const failures = await within(Promise.all(connecting), "everybody to be connected", againMs);
      assert.deepEqual(
        failures.map((error) => (isBusError(error) ? error.message : error)),
        [undefined, undefined, undefined],
      );
      const over = await recovered(lab, load, since);
      await assertRecovered(lab, load, { faults: [{ from, until: over }], since, tail: false });
    },
  );
}
