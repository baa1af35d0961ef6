import type { StartAt } from "../../driver.ts";
import { declareAttachedQueue, patternKey } from "./attach.ts";
import type { AmqpArguments } from "./client.ts";
import type { GroupDefinition, GroupLane } from "./definition-fold.ts";
import type { QueueLanes } from "./queue-lanes.ts";
import { joinRemains, noRemains, type Remains } from "./remains.ts";
import { randomHex, type Session } from "./session.ts";
import type { StoredStream } from "./stream-plan.ts";
import { together } from "./together.ts";
import { noteArguments, quorum } from "./topology.ts";
import { expirationOf, wireHeaders } from "./wire.ts";

/** What is to be copied of the past of a stream for a group. */
export interface Job {
  readonly group: string;
  /** The group's. */
  readonly id: string;
  readonly stream: string;
  /** Of an ordered group; 0: of another one. */
  readonly partitions: number;
  readonly from: StartAt;
  readonly m0: string;
  readonly m1: string;
}

const liveExpiresMs = 60_000;

/** A marker into the log of a stream, and into the seam queue of the group once that is bound. */
export async function putMarker(session: Session, stream: string, group: string, id: string): Promise<void> {
  await session.own.putAgain(
    { exchange: session.names.stream(stream), routingKey: session.names.marker(group) },
    Buffer.alloc(0),
    { messageId: id, deliveryMode: 2, headers: { m: id } },
  );
}

/** Makes what a group has of a stream. Each step may be repeated by whoever finds it unfinished. */
export async function setUpLane(
  session: Session,
  definition: GroupDefinition,
  stream: StoredStream,
  lane: GroupLane,
): Promise<void> {
  const { names } = session;
  const { group, order } = definition.spec;
  const { queue } = lane;
  if (queue !== undefined) return await session.ask((channel) => declareAttachedQueue(channel, queue, lane.patterns));
  const exchange = names.group(group, stream.name);
  const source = names.stream(stream.name);
  if (lane.clean === true)
    await session.ask(async (channel) => {
      await channel.deleteExchange(exchange);
      for (const queue of laneQueues(session, group, stream.name, partitionsOf(definition, lane)))
        await channel.deleteQueue(queue);
    });
  const from = lane.grows === true ? undefined : lane.from;
  await session.ask(async (channel) => {
    // one that stayed would let the seam queue have what the queues, bound a moment later, have not
    if (lane.again === true) await channel.deleteExchange(exchange);
    await channel.assertExchange(exchange, "topic", { durable: true });
  });
  await together([
    declareQueues(session, definition, stream, lane.partitions),
    from === undefined ? Promise.resolve() : declareSeam(session, definition, stream.name),
  ]);
  if (from !== undefined && order === "group") await putTokens(session, definition, stream, lane.partitions);
  await session.ask(async (channel) => {
    for (const pattern of lane.patterns) await channel.bindExchange(exchange, source, patternKey(stream, pattern));
  });
  if (from === undefined) return;
  const m1 = randomHex(session.clock);
  await putMarker(session, stream.name, group, m1);
  const partitions = partitionsOf(definition, lane) ?? 0;
  const job: Job = { group, id: definition.id, stream: stream.name, partitions, from, m0: lane.m0, m1 };
  await session.own.putAgain({ exchange: "", routingKey: names.own("j") }, Buffer.from(JSON.stringify(job)), {
    deliveryMode: 2,
  });
}

/** What a group has beside its queues. */
export async function declareBeside(session: Session, { spec: { group, live } }: GroupDefinition): Promise<void> {
  const { names } = session;
  const queues: [string, AmqpArguments][] = [[names.notes(group), noteArguments]];
  if (!live) queues.push([names.dropped(group), { "x-max-length": 1_000, "x-overflow": "drop-head" }]);
  await session.askEach(queues, (channel, [queue, args]) =>
    channel.assertQueue(queue, { durable: true, arguments: args }),
  );
}

async function declareQueues(
  session: Session,
  definition: GroupDefinition,
  stream: StoredStream,
  partitions: number,
): Promise<void> {
  const { names } = session;
  const { group, order } = definition.spec;
  const exchange = names.group(group, stream.name);
  const args = queueArguments(definition, stream, names.dropped(group));
  if (order !== "group")
    return await session.ask(async (channel) => {
      await channel.assertQueue(exchange, { durable: true, arguments: args });
      await channel.bindQueue(exchange, exchange, "#");
    });
  const numbers = Array.from({ length: partitions }, (_, number) => number);
  await session.askEach(numbers, async (channel, number) => {
    const queue = names.group(group, stream.name, number);
    await channel.assertQueue(queue, { durable: true, arguments: { ...args, "x-single-active-consumer": true } });
    await channel.bindQueue(queue, exchange, stream.attached === undefined ? `${number}.#` : "#");
  });
}

/** What is routed to the group from now on is kept beside its queues. */
async function declareSeam(session: Session, { spec: { group }, id }: GroupDefinition, stream: string): Promise<void> {
  const { names } = session;
  const seam = names.seam(group, id, stream);
  await session.ask(async (channel) => {
    await channel.assertQueue(seam, {
      durable: true,
      arguments: { "x-queue-type": "stream", "x-stream-max-segment-size-bytes": 16_000_000 },
    });
    await channel.bindQueue(seam, names.group(group, stream), "#");
    await channel.bindQueue(seam, names.stream(stream), names.marker(group));
  });
}

/** The past stands before the partitions. */
async function putTokens(
  session: Session,
  { spec: { group }, id }: GroupDefinition,
  { name, maxAgeMs }: StoredStream,
  partitions: number,
): Promise<void> {
  const headers = wireHeaders({ m: "token", s: name }) as Readonly<Record<string, unknown>>;
  await together(
    Array.from({ length: partitions }, (_, number) =>
      session.own.putAgain({ exchange: "", routingKey: session.names.group(group, name, number) }, Buffer.alloc(0), {
        messageId: id,
        deliveryMode: 2,
        expiration: expirationOf(Math.max(maxAgeMs, 1)), // all that it stands before is older
        headers,
      }),
    ),
  );
}

function queueArguments({ spec: { live } }: GroupDefinition, stream: StoredStream, dropped: string): AmqpArguments {
  const drops = stream.whenFull === "drop-oldest";
  const limits = drops
    ? {
        "x-overflow": "drop-head",
        "x-max-length-bytes": stream.maxBytes,
        ...(stream.maxMessages === undefined ? {} : { "x-max-length": stream.maxMessages }),
      }
    : {};
  if (live) return { ...limits, "x-expires": liveExpiresMs };
  return quorum({
    ...limits,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": dropped,
    ...(stream.replicas > 1 ? { "x-quorum-initial-group-size": stream.replicas } : {}),
  });
}

/** All queues and exchanges of a group, its past aside. */
export function objectsOf(session: Session, lanes: QueueLanes, definition: GroupDefinition): Remains {
  const { names } = session;
  const { group } = definition.spec;
  const queues = [lanes.nameOf(group, true), lanes.nameOf(group, false), names.dropped(group), names.notes(group)];
  const exchanges: string[] = [];
  for (const [stream, lane] of Object.entries(definition.lanes)) {
    if (lane.queue !== undefined) continue; // it stays
    exchanges.push(names.group(group, stream));
    queues.push(...laneQueues(session, group, stream, partitionsOf(definition, lane)));
  }
  return { queues, exchanges };
}

/** What one making of a group has for its past: history and seam. */
export function pastOf(session: Session, definition: GroupDefinition): Remains {
  return Object.keys(definition.lanes)
    .map((stream) => pastOfLane(session, definition, stream))
    .reduce(joinRemains, noRemains);
}

/** The same, of one stream. */
export function pastOfLane(session: Session, definition: GroupDefinition, stream: string): Remains {
  const { id, spec, lanes } = definition;
  const lane = lanes[stream];
  const partitions = lane === undefined ? 0 : (partitionsOf(definition, lane) ?? 0);
  return pastOfJob(session, { group: spec.group, id, stream, partitions });
}

export function pastOfJob(
  session: Session,
  { group, id, stream, partitions }: Pick<Job, "group" | "id" | "stream" | "partitions">,
): Remains {
  const { names } = session;
  const histories = Array.from({ length: partitions }, (_, number) => names.history(group, id, stream, number));
  const seam = seamOf(session, { group, id, stream });
  return { ...seam, queues: [...seam.queues, ...histories] };
}

export function seamOf({ names }: Session, { group, id, stream }: Pick<Job, "group" | "id" | "stream">): Remains {
  const queue = names.seam(group, id, stream);
  return {
    bindings: [
      { queue, exchange: names.group(group, stream), key: "#" },
      { queue, exchange: names.stream(stream), key: names.marker(group) },
    ],
    exchanges: [],
    queues: [queue],
  };
}

/** Undefined: it has one queue. */
export const partitionsOf = (definition: GroupDefinition, lane: GroupLane): number | undefined =>
  definition.spec.order === "group" ? lane.partitions : undefined;

/** Of one stream. */
export function laneQueues(
  session: Session,
  group: string,
  stream: string,
  partitions: number | undefined,
): readonly string[] {
  const { names } = session;
  if (partitions === undefined) return [names.group(group, stream)];
  return Array.from({ length: partitions }, (_, number) => names.group(group, stream, number));
}
