import assert from "node:assert/strict";
import { type Bus, isBusError } from "../../index.ts";
import { faultHappened, inFlightAtKill, loud } from "../invariants/faults.ts";
import type { ItemEvent } from "../lab.ts";
import { upTo } from "../runs.ts";
import { until } from "../until.ts";
import { assertNone, drained } from "./aftermath.ts";
import { type FaultWindow, judge } from "./judgement.ts";
import { ticks } from "./journal.ts";
import type { RecoveryLab } from "./recovery-lab.ts";
import type { RecoverySuite } from "./recovery-topics.ts";

/** Publishes one of a key, in its turn; again when the line was lost on a busy machine, which is not what is tried here. */
async function publish(
  lab: RecoveryLab,
  bus: Bus,
  item: ItemEvent,
  key: string,
  n: number,
  text = `${key}-${n}`,
): Promise<string> {
  const record = { id: `${lab.topic(key)}-${n}`, key, sequence: n, hash: text };
  lab.journal.note("publish-started", "publisher", record);
  for (let stored = false; !stored;) {
    try {
      await bus.publish(item, { n, text }, { id: record.id, key });
      stored = true;
    } catch (error) {
      const again = isBusError(error) && error.retryable && lab.driver.capabilities.dedupeWindowMs > 0;
      if (!again) throw error;
    }
  }
  lab.journal.note("published", "publisher", record);
  return record.id;
}

/** Faults of a process that is a member of a group. */
export function memberFaults({ test }: RecoverySuite): void {
  for (const order of ["none", "group"] as const) {
    const needs = ["durable", "groups", "replay", ...(order === "group" ? (["order"] as const) : [])] as const;

    test(
      {
        name: `the process of one member killed (order: ${order})`,
        needs,
        // a kill costs 3 s, a second to start the process and two until the lease has ended, and so they overlap
        short: order === "none" ? { keys: 12, kills: 4, victims: 4 } : { keys: 12, kills: 2, victims: 2 },
        full: order === "none" ? { keys: 12, kills: 40, victims: 4 } : { keys: 12, kills: 20, victims: 2 },
      },
      async (lab, { keys, kills, victims }) => {
        const [bus, publisher] = [await lab.bus(), await lab.bus()];
        const item = lab.event();
        const group = lab.group("g");
        const { journal, leaseMs } = lab;
        const work = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 10));
        await bus.subscribe(item, journal.handler("survivor", work), { group, order, concurrency: 4 });
        let stopping = false;
        const publishing = Promise.all(
          upTo(keys).map(async (k) => {
            for (let n = 0; !stopping; n++) {
              await publish(lab, publisher, item, `k${k}`, n);
              await new Promise((resolve) => setTimeout(resolve, 20 + lab.random() * 40));
            }
          }),
        );
        let failed: unknown;
        publishing.catch((error: unknown) => (failed = error)); // without events nothing below would come
        const untilWell = (condition: () => boolean, what: string | (() => string), withinMs: number): Promise<void> =>
          until(
            () => {
              if (failed !== undefined) throw failed;
              return condition();
            },
            what,
            withinMs,
          );
        const faults: FaultWindow[] = [];
        let [valid, invalid, started] = [0, 0, 0];
        const killing = async (): Promise<void> => {
          while (started < kills + invalid && failed === undefined) {
            assert.ok(invalid <= kills * 3, `${invalid} invalid kills, ${valid} valid ones`);
            const name = `victim-${started++}`;
            const child = await lab.member(name, { group, order, type: item.type, work: 10, concurrency: 4 });
            const begun = (): number => child.lines.filter(({ op }) => op === "handling").length;
            const ended = (): number => child.lines.filter(({ op }) => op === "handled").length;
            await untilWell(
              () => ended() >= 10 && begun() > ended(),
              () => `${name} to be at work; it began ${begun()} and ended ${ended()}`,
              leaseMs + 20_000,
            );
            const from = ticks();
            await child.kill();
            const at = Math.max(from, child.lines.at(-1)?.at ?? from);
            journal.add({ at, process: name, op: "killed", id: "" });
            const inFlight = inFlightAtKill(journal.history, name);
            if (inFlight.size === 0) invalid++;
            else valid++;
            faults.push({ from, until: at, process: name });
            await untilWell(
              () => [...inFlight].every((id) => (journal.handledAt(id) ?? 0) > at),
              () => `the survivor to handle what the victim had in hand: ${[...inFlight].join(", ")}`,
              victims * leaseMs + 10_000, // one that dies while the others share anew may hold them up for a lease
            );
          }
        };
        const kill = (): Promise<void> =>
          killing().catch((error: unknown) => {
            failed ??= error; // the others end, too
            throw error;
          });
        await Promise.all(upTo(victims).map(kill));
        stopping = true;
        await publishing;
        await drained(publisher, [group]);
        const { history } = journal;
        const { repeatsMs } = lab;
        const { capabilities } = lab.driver;
        const judged = { history, capabilities, groups: [group], ordered: order === "group" ? group : undefined };
        assertNone([
          ...judge({ ...judged, stored: undefined, faults, repeatsMs }),
          ...faultHappened(history, { kills, redeliveries: kills }),
          ...loud([], [], lab.watch.complaints),
        ]);
        assert.equal(await publisher.deadLetters.count({ group }), 0);
      },
    );

    test(
      {
        name: `a member stopped past its lease and woken: its late settlements do no harm (order: ${order})`,
        needs,
        short: { messages: 10 },
      },
      async (lab, { messages }) => {
        const [bus, publisher] = [await lab.bus(), await lab.bus()];
        const item = lab.event();
        const group = lab.group("g");
        const { journal, leaseMs } = lab;
        const child = await lab.member("sleeper", { group, order, type: item.type, work: "told", concurrency: 4 });
        const returns = await publish(lab, publisher, item, "a", 0);
        const rejects = await publish(lab, publisher, item, "b", 0, "reject late");
        const ops = (id: string, process: string): readonly string[] =>
          journal.history.filter((record) => record.id === id && record.process === process).map(({ op }) => op);
        const both = [returns, rejects] as const;
        await until(() => both.every((id) => ops(id, "sleeper").length === 1), "it to handle both");
        await publish(lab, publisher, item, "a", 1); // in its buffer, behind the first of its key

        const from = ticks();
        await lab.stop(child);
        journal.note("killed", "sleeper"); // for the order of keys: what it runs now counts no more
        await bus.subscribe(
          item,
          journal.handler("other", () => undefined),
          { group, order, concurrency: 4 },
        );
        for (const n of upTo(messages)) await publish(lab, publisher, item, "b", n + 1);
        await until(
          () => both.every((id) => ops(id, "other").includes("handled")),
          () => `the other to take over; it did: ${both.map((id) => ops(id, "other").join(" ")).join(", ")}`,
          leaseMs * 2 + 10_000,
        );
        process.kill(child.pid, "SIGCONT");
        child.tell("go on");
        await until(
          () => ops(returns, "sleeper").includes("handled") && ops(rejects, "sleeper").includes("handler-failed"),
          "its handlers to end",
        );
        await drained(publisher, [group]);
        const over = ticks();
        for (const n of upTo(messages)) await publish(lab, publisher, item, "c", n);
        await drained(publisher, [group]);
        await child.end();

        const { capabilities } = lab.driver;
        const { history } = journal;
        const judged = { history, capabilities, groups: [group], ordered: order === "group" ? group : undefined };
        const faults = [{ from, until: over }];
        assertNone([
          ...judge({ ...judged, stored: undefined, faults, repeatsMs: Infinity }),
          ...loud([], [], lab.watch.complaints),
        ]);
        assert.equal(
          ops(returns, "other").filter((op) => op === "handling").length,
          1,
          "its late return changed nothing",
        );
        const fenced = capabilities.fencing === "all" || (capabilities.fencing === "ordered" && order === "group");
        if (!fenced) return; // there a late settlement still counts
        assert.equal(
          ops(rejects, "other").filter((op) => op === "handling").length,
          1,
          "its late throw changed nothing",
        );
        assert.equal(await publisher.deadLetters.count({ group }), 0, "and gave nothing up");
      },
    );
  }
}
