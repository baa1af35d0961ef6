import type { Capabilities, Driver, DriverAdmin, DriverConnection, GroupSpec, OutMessage } from "../../src/driver.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { DriverError } from "../../src/internal/driver-error.ts";
import { changed } from "../../src/testing/changed.ts";
import type { Need } from "../../src/testing/suite.ts";
import { outgoing, toQueue } from "./driver-harness.ts";

/** How a driver declares that it lacks something; what is not here is the administration's, and is declared by its absence. */
export const declarations: { readonly [N in Need]?: Partial<Capabilities> } = {
  durable: { durable: false },
  groups: { groups: false },
  replay: { replay: false },
  order: { order: false },
  "publish order": { publishOrder: "best-effort" },
  "publish retry": { publishRetry: "driver" },
  delay: { delay: "none" },
  dedupe: { dedupeWindowMs: 0 },
  "no-responder": { noResponder: false },
  priorities: { priorities: false },
  fencing: { fencing: "ordered" },
  "ordered fencing": { fencing: "none" },
  "loss counts": { losses: "said" },
  transactions: { transactions: false },
  schedules: { schedules: "none" },
  state: { state: "none" },
};

type Change = (connection: DriverConnection) => Partial<DriverConnection>;

/** What the memory driver does no more without an ability: as src/driver.ts says. What is not here it lacks as it is. */
const withouts: { readonly [N in Need]?: Change } = {
  groups: (connection) => ({
    ensureGroup: (spec) => (spec.live ? connection.ensureGroup(spec) : Promise.reject(unable("durable groups"))),
    send: refusing(connection, ({ to }) => to.kind === "queue", "queues"),
  }),
  replay: (connection) => ({
    ensureGroup: (spec) =>
      spec.live || ("at" in spec.from && spec.from.at === "newest")
        ? connection.ensureGroup(spec)
        : Promise.reject(unable("a start in the past")),
  }),
  order: (connection) => ({
    ensureGroup: async (spec) => {
      if (spec.order === "group") throw unable("order across members");
      return connection.ensureGroup({
        ...spec,
        order: spec.order ?? (await storedOrder(connection, spec)) ?? "process",
      });
    },
  }),
  delay: (connection) => ({ send: refusing(connection, ({ notBefore }) => notBefore !== undefined, "delays") }),
  dedupe: (connection) => {
    let sent = 0;
    return {
      send: (batch) =>
        connection.send(batch.map((message) => changed(message, { brokerId: `${message.brokerId}/${++sent}` }))),
    };
  },
  "no-responder": (connection) => ({
    send: (batch) => connection.send(batch.map((message) => changed(message, { failed: unnoticed(message) }))),
  }),
  "ordered fencing": (connection) => ({
    consume: async (source, sink, window) => {
      const consumption = await connection.consume(source, sink, window);
      if (source.kind !== "group") return consumption;
      return changed(consumption, {
        settle: async (batch) => {
          const results = await consumption.settle(batch);
          return results.map((result, index) => {
            const { how, message } = batch[index]!;
            if (result !== "stale" || how === "dead") return result;
            connection.send([outgoing(toQueue(source.group, message.topic), "", { body: message.body }).message]);
            return "done";
          });
        },
      });
    },
  }),
  "loss counts": (connection) => ({
    consume: (source, sink, window) =>
      connection.consume(source, changed(sink, { lost: (_, reason) => sink.lost(undefined, reason) }), window),
  }),
  schedules: ({ admin }) => ({ admin: without(without(admin, "scheduled"), "cancelScheduled") }),
  state: () => ({ state: undefined }),
  trim: ({ admin }) => ({ admin: without(admin, "trim") }),
  reset: ({ admin }) => ({ admin: without(admin, "resetGroup") }),
  recover: ({ admin }) => ({ admin: without(admin, "recoverGroup") }),
};

/** The real memory driver minus some of its abilities: it declares that it lacks them, and refuses them when it is asked. */
export function lacking(needs: readonly Need[]): Driver {
  const capabilities = declaring(needs);
  const inner = memory();
  return changed(inner, {
    capabilities,
    connect: async (context) => {
      let connection = changed(await inner.connect(context), { capabilities });
      for (const need of needs) connection = changed(connection, withouts[need]?.(connection) ?? {});
      return connection;
    },
  });
}

/** What memory declares without them. */
export function declaring(needs: readonly Need[]): Capabilities {
  return Object.assign({ ...memory().capabilities }, ...needs.map((need) => declarations[need])) as Capabilities;
}

/** An administration whose broker lacks a method. */
const without = (admin: DriverAdmin, method: keyof DriverAdmin): DriverAdmin => changed(admin, { [method]: undefined });

const unable = (what: string): DriverError => new DriverError("BUS_UNSUPPORTED", `lacking: has no ${what}`);

function refusing(
  connection: DriverConnection,
  refused: (message: OutMessage) => boolean,
  what: string,
): DriverConnection["send"] {
  return (batch) => {
    const sent = batch.filter((message) => !refused(message));
    for (const message of batch) if (refused(message)) message.failed("no", unable(what));
    if (sent.length > 0) connection.send(sent);
  };
}

async function storedOrder({ admin }: DriverConnection, { group }: GroupSpec): Promise<GroupSpec["order"]> {
  return (await admin.groups()).find(({ spec }) => spec.group === group)?.spec.order;
}

/** A broker that can't tell takes a request that nobody listens to. */
const unnoticed =
  (message: OutMessage): OutMessage["failed"] =>
  (stored, error) =>
    (error as { readonly code?: unknown }).code === "BUS_NO_RESPONDER"
      ? message.stored()
      : message.failed(stored, error);
