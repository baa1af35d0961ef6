/** A member of a rolling deployment: version 1 knows tasks, version 2 audits as well. In a process of its own, or in the test's. */
import { setTimeout as pause } from "node:timers/promises";
import type { Driver, Headers, InMessage } from "../../src/driver.ts";
import { kafka } from "../../src/drivers/kafka/index.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { nats } from "../../src/drivers/nats/index.ts";
import { postgres } from "../../src/drivers/postgres/index.ts";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import { redis } from "../../src/drivers/redis/index.ts";
import { sqlite } from "../../src/drivers/sqlite/index.ts";
import { type Bus, connect, defineEvent, type EventDefinition, typed } from "../../src/index.ts";
import { runChild } from "../../src/testing/index.ts";
import { header } from "../../src/wire-names.ts";
import { tapped } from "../support/tapped-driver.ts";

export interface Item {
  readonly n: number;
  /** `new`: a topic that the group reads only since version 2 asked for it. */
  readonly lane: "old" | "new";
}

export const Task: EventDefinition<"deploy.task", Item> = defineEvent("deploy.task", {
  schema: typed<Item>(),
  topic: "deploy.old",
});
export const Audit: EventDefinition<"deploy.audit", Item> = defineEvent("deploy.audit", {
  schema: typed<Item>(),
  topic: "deploy.{lane}",
});
export const group = "workers";

export interface DeployMemberInput {
  readonly driver: "memory" | "sqlite" | "postgres" | "nats" | "redis" | "rabbitmq" | "kafka";
  readonly url: string;
  readonly prefix: string;
  readonly version: 1 | 2;
  readonly order: "group" | "none";
}
export type Note = (record: Readonly<Record<string, unknown>>) => void;

export const driverOf = ({ driver, url }: Pick<DeployMemberInput, "driver" | "url">): Driver =>
  ({
    memory: () => memory({ name: url }),
    sqlite: () => sqlite({ path: url }),
    postgres: () => postgres({ url }),
    nats: () => nats({ servers: url }),
    redis: () => redis({ url }),
    rabbitmq: () => rabbitmq({ url }),
    kafka: () => kafka({ brokers: url }),
  })[driver]();

const idOf = ({ body }: InMessage): string => (JSON.parse(Buffer.from(body).toString()) as { readonly id: string }).id;
const isHandOn = (headers: Headers): boolean => headers.some(([name]) => name === header.hops);

/** What leaves this member unhandled, and what comes to it, counted between the bus and its driver. */
function counted(driver: Driver, note: Note): Driver {
  return tapped(
    {
      delivered: (messages, { kind }) => {
        if (kind === "group") for (const message of messages) note({ op: "delivered", id: idOf(message) });
      },
      consumption: (consumption) => ({
        settle: (batch) => {
          for (const { how, message, ...rest } of batch)
            if (how !== "dead")
              note({ op: how, id: idOf(message), handOn: isHandOn((rest as { headers: Headers }).headers) });
          return consumption.settle(batch);
        },
        record: (notes) => {
          for (const { message, headers } of notes) if (isHandOn(headers)) note({ op: "kept", id: idOf(message) });
          return consumption.record(notes);
        },
      }),
    },
    driver,
  );
}

/** Resolves when it takes part. */
export async function startMember(input: DeployMemberInput, note: Note): Promise<Bus> {
  const { prefix, version, order } = input;
  const bus = await connect({ driver: counted(driverOf(input), note), prefix, name: `v${version}` });
  const handle = async ({
    id,
    key,
    type,
  }: {
    readonly id: string;
    readonly key?: string | undefined;
    readonly type: string;
  }): Promise<void> => {
    note({ op: "handling", id, key, type });
    await pause(1);
    note({ op: "handled", id, key, type });
  };
  const options = { group, order, concurrency: 16 } as const;
  // together: a member that has only the first of its handlers would hand on what is for the second
  await Promise.all([
    bus.subscribe(Task, handle, { ...options, name: "tasks" }),
    ...(version === 2 ? [bus.subscribe(Audit, handle, { ...options, name: "audits" })] : []),
  ]);
  note({ op: "ready" });
  return bus;
}

if (import.meta.main) {
  await runChild<DeployMemberInput>(async ({ input, note, ended }) => {
    const term = new Promise<void>((resolve) => process.once("SIGTERM", () => resolve()));
    const bus = await startMember(input, note);
    await Promise.race([term, ended]);
    note({ op: "closed", ...(await bus.close()) });
  });
}
