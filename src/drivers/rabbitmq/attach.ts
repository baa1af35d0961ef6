import { DriverError } from "../../internal/driver-error.ts";
import { exactKey, bindingKey } from "./binding-key.ts";
import type { AmqpArguments, AmqpChannel } from "./client.ts";
import type { RabbitMqAttachment, RabbitMqHeaderMatch, RabbitMqQueue } from "./options.ts";
import type { StoredStream } from "./stream-plan.ts";
import { quorum } from "./topology.ts";

/** An exchange that a stream is, by the names of who made it. */
export interface AttachedExchange {
  readonly name: string;
  readonly type: "topic" | "direct" | "fanout" | "headers";
  readonly durable: boolean;
  readonly autoDelete: boolean;
  readonly keys: readonly string[];
  readonly match: RabbitMqHeaderMatch;
}

/** A queue that a group reads of it. */
export interface AttachedQueue {
  readonly name: string;
  readonly exchange: string;
  readonly type: AttachedExchange["type"];
  /** Undefined: by the group's patterns. */
  readonly keys: readonly string[] | undefined;
  readonly match: RabbitMqHeaderMatch;
  readonly durable: boolean;
  readonly autoDelete: boolean;
  readonly arguments: AmqpArguments;
  readonly prefetch: number | undefined;
}

const isLiteral = (topic: string): boolean => !/[*>]/.test(topic);

export function attachedExchange(
  { exchange, type = "topic", durable = true, autoDelete = false, keys, match = {} }: RabbitMqAttachment,
  topics: readonly string[],
): AttachedExchange {
  const all = type === "topic" ? ["#"] : type === "direct" ? topics.filter(isLiteral) : [""];
  return { name: exchange, type, durable, autoDelete, keys: keys ?? all, match };
}

function attachedQueue(
  { name, type }: AttachedExchange,
  group: string,
  {
    queue = `${name}.${group}`,
    keys,
    match = {},
    durable = true,
    autoDelete = false,
    prefetch,
    ...given
  }: RabbitMqQueue,
): AttachedQueue {
  return {
    name: queue,
    exchange: name,
    type,
    keys,
    match,
    durable,
    autoDelete,
    arguments: given.arguments ?? (durable && !autoDelete ? quorum() : {}),
    prefetch,
  };
}

/** What the options say that a group reads of a stream; undefined: queues of ours, or whatever was said before. */
export function wantedQueue(
  stream: StoredStream | undefined,
  attach: Readonly<Record<string, RabbitMqAttachment>>,
  group: string,
): AttachedQueue | undefined {
  const given = stream && attach[stream.name]?.groups?.[group];
  return stream?.attached && given && attachedQueue(stream.attached, group, given);
}

/** What is published to it comes to the stream's own exchange, and so to its log and its groups. */
export async function bindAttached(channel: AmqpChannel, own: string, attached: AttachedExchange): Promise<void> {
  const { name, type, durable, autoDelete, keys, match } = attached;
  await channel.assertExchange(name, type, { durable, autoDelete });
  for (const key of keys) await channel.bindExchange(own, name, key, match);
}

export async function declareAttachedQueue(
  channel: AmqpChannel,
  { name, exchange, type, keys, match, durable, autoDelete, arguments: args }: AttachedQueue,
  patterns: readonly string[],
): Promise<void> {
  await channel.assertQueue(name, { durable, autoDelete, arguments: args });
  const byPattern = type === "topic" ? patterns.map(exactKey) : type === "direct" ? patterns.filter(isLiteral) : [""];
  for (const key of keys ?? byPattern) await channel.bindQueue(name, exchange, key, match);
}

/** By what the group read before, and reads no more. */
export async function unbindAttachedQueue(
  channel: AmqpChannel,
  { name, exchange, type, keys, match }: AttachedQueue,
  patterns: readonly string[],
): Promise<void> {
  if (keys !== undefined || type === "fanout" || type === "headers") return;
  const over = type === "topic" ? patterns.map(exactKey) : patterns.filter(isLiteral);
  for (const key of over) await channel.unbindQueue(name, exchange, key, match);
}

/** Which queue a group reads is said when it is made. */
export function checkQueue(group: string, known: AttachedQueue | undefined, wanted: AttachedQueue | undefined): void {
  if (wanted === undefined || JSON.stringify(known) === JSON.stringify(wanted)) return;
  const nameOf = (queue: AttachedQueue | undefined): string =>
    queue === undefined ? "queues of ours" : `"${queue.name}"`;
  throw new DriverError(
    "BUS_CONFLICT",
    `group (${group}): it reads ${nameOf(known)}, and can't read ${nameOf(wanted)}, or in another way`,
  );
}

/** What a pattern is at the exchange of a stream: where others publish there is no partition. */
export const patternKey = ({ attached }: Pick<StoredStream, "attached">, pattern: string): string =>
  attached === undefined ? bindingKey(pattern) : exactKey(pattern);
