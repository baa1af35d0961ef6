/** A process of the recovery tests: publishes, or handles, until it is killed. */
import { sqlite } from "../../src/drivers/sqlite/index.ts";
import { type Bus, connect, defineEvent, type EventDefinition, typed } from "../../src/index.ts";
import { type ChildSide, runChild } from "../../src/testing/index.ts";

export interface WorkerInput {
  readonly path: string;
  readonly role: "publish" | "handle" | "handle-poison";
  readonly group: string;
  /** Of a publisher: the next item of each key. */
  readonly next?: readonly number[] | undefined;
  readonly concurrency?: number | undefined;
  readonly maxAttempts?: number | undefined;
  /** How a poisonous item stands still. */
  readonly blocking?: boolean | undefined;
}

export interface WorkItem {
  readonly n: number;
  readonly poison?: boolean | undefined;
}

export const Work: EventDefinition<"work.item", WorkItem> = defineEvent("work.item", { schema: typed<WorkItem>() });

/** One chain of publishes per key, each awaited; its id stays, so that trying again after a kill is harmless. */
async function publish(bus: Bus, { input, note, signal }: ChildSide<WorkerInput>): Promise<void> {
  await Promise.all(
    (input.next ?? []).map(async (first, k) => {
      for (let n = first; !signal.aborted; n++) {
        const record = { id: `k${k}-${n}`, key: `k${k}`, sequence: n };
        note({ op: "publish-started", ...record });
        await bus.publish(Work, { n }, { id: record.id, key: record.key });
        note({ op: "published", ...record });
        await pause(Math.random() * 8);
      }
    }),
  );
}

async function handle(bus: Bus, { input, note, ended }: ChildSide<WorkerInput>): Promise<void> {
  await bus.subscribe(
    Work,
    async ({ id, key, data }, { attempt }) => {
      const record = { id, key, sequence: data.n, attempt, group: input.group };
      note({ op: "handling", ...record });
      if (data.poison === true) await standStill(input.blocking === true);
      if (input.role === "handle") await pause(Math.random() * 4);
      note({ op: "handled", ...record });
    },
    {
      group: input.group,
      order: input.role === "handle" ? "group" : "none",
      concurrency: input.concurrency ?? 4,
      retry: { maxAttempts: input.maxAttempts ?? 1_000, backoff: { baseMs: 5, jitter: 0 } },
    },
  );
  note({ op: "ready" });
  await ended;
}

/** Until it is killed from outside; `blocking`: like an endless loop, nothing else of this process goes on. */
async function standStill(blocking: boolean): Promise<void> {
  if (blocking) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  await new Promise(() => undefined);
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

if (import.meta.main) {
  await runChild<WorkerInput>(async (child) => {
    const bus = await connect({ driver: sqlite({ path: child.input.path }) });
    await (child.input.role === "publish" ? publish(bus, child) : handle(bus, child));
    child.note({ op: "closing" });
    child.note({ op: "closed", ...(await bus.close()) });
  });
}
