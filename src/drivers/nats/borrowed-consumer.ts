import { DriverError } from "../../internal/driver-error.ts";
import { covers, overlaps } from "../../internal/topic-trie.ts";
import type { ConsumerConfig, NativeConsumer } from "./api-types.ts";
import { filtersOf } from "./filters.ts";
import { changing, type GroupDefinition, isOrdered } from "./group-plan.ts";
import type { Shared } from "./shared.ts";
import type { StreamFacts } from "./stream-plan.ts";

/** The consumers that a group is to read through, by stream; undefined: its own. */
export function consumersOf({ session }: Shared, group: string): Readonly<Record<string, string>> | undefined {
  const named = [...session.options.attach].flatMap(([stream, { consumers }]) => {
    const consumer = consumers.get(group);
    return consumer === undefined ? [] : [[stream, consumer] as const];
  });
  return named.length === 0 ? undefined : Object.fromEntries(named);
}

/** A group that reads through somebody else's consumers can do what they allow; nothing of them is changed. */
export async function checkBorrowed(shared: Shared, definition: GroupDefinition): Promise<void> {
  const { group, consumers = {} } = definition;
  for (const [stream, asked] of Object.entries(consumersOf(shared, group) ?? {}))
    if (consumers[stream] !== asked)
      throw new DriverError(
        "BUS_CONFLICT",
        `nats: group "${group}" reads stream "${stream}" by ${consumers[stream] === undefined ? "a consumer of its own" : `the consumer "${consumers[stream]}"`} and can't go over to "${asked}": delete the group, or give it another name`,
      );
  for (const stream of Object.keys(consumers)) {
    if (!definition.reads.some((read) => read.stream === stream)) continue;
    if (isOrdered(definition) || definition.live)
      throw new DriverError(
        "BUS_UNSUPPORTED",
        `${which(definition, stream)}: no order is kept among the members that share it, so the group needs order "none" or "process" and can't be live`,
      );
    if (changing(definition).includes(stream))
      throw new DriverError("BUS_CONFLICT", `${which(definition, stream)}: its patterns can't change`);
    await borrowed(shared, definition, stream);
  }
}

/** As it is at the server now. */
export async function borrowed(shared: Shared, definition: GroupDefinition, stream: string): Promise<NativeConsumer> {
  const found = shared.streams.get(stream) ?? (await shared.streams.look(stream))?.facts;
  const name = definition.consumers![stream]!;
  const info = found === undefined ? undefined : await shared.api.consumerInfo(found.native, name);
  if (found === undefined || info === undefined)
    throw new DriverError("BUS_NOT_FOUND", `${which(definition, stream)}: there is none`, { retryable: true });
  const patterns = definition.reads.find((read) => read.stream === stream)?.patterns ?? [];
  const problem = unfit(info.config) ?? otherFilter(info.config, found, patterns);
  if (problem !== undefined) throw new DriverError("BUS_UNSUPPORTED", `${which(definition, stream)}: ${problem}`);
  return info;
}

/** Where a group begins is the consumer's. */
export function refuseReset(definition: GroupDefinition): void {
  const [stream] = Object.keys(definition.consumers ?? {});
  if (stream !== undefined)
    throw new DriverError("BUS_CONFLICT", `${which(definition, stream)}: it is not the bus's to reset`);
}

const which = ({ group, consumers = {} }: GroupDefinition, stream: string): string =>
  `nats: group "${group}" is to read stream "${stream}" by the consumer "${consumers[stream]}"`;

/** Why groups can't be read by a consumer of this kind. */
function unfit(config: ConsumerConfig): string | undefined {
  if (config.deliver_subject !== undefined && config.deliver_subject !== "")
    return "it is a push consumer, and groups pull";
  if (config.ack_policy !== "explicit") return `its ack policy is "${config.ack_policy}" and must be "explicit"`;
  if (config.max_deliver !== undefined && config.max_deliver > 0)
    return `its max_deliver is ${config.max_deliver}, after which it gives events up: it must be -1`;
  if (config.headers_only === true) return "it delivers headers only";
  if ((config.backoff ?? []).length > 0) return "its backoff would hand out again what a member still has";
  if ((config.priority_groups ?? []).length > 0) return "it has priority groups";
  const limit = (["max_batch", "max_bytes", "max_expires"] as const).find((name) => (config[name] ?? 0) > 0);
  return limit === undefined ? undefined : `its limit ${limit} would refuse the members' requests`;
}

/** What it delivers and what the group reads must be the same: the one is missed, the other would be acknowledged unread. */
function otherFilter(config: ConsumerConfig, facts: StreamFacts, patterns: readonly string[]): string | undefined {
  const { subjects } = facts.config;
  const filters = filtersOf(config);
  const delivered = filters.length === 0 ? subjects : filters;
  const wanted = patterns.map((pattern) => facts.filter(pattern));
  const within = (inner: string, outer: readonly string[]): boolean =>
    outer.some((each) => covers(each, inner)) ||
    subjects
      .filter((subject) => overlaps(subject, inner))
      .every((subject) => outer.some((each) => covers(each, subject)));
  const missed = wanted.find((subject) => !within(subject, delivered));
  if (missed !== undefined) return `it does not deliver all of "${missed}"`;
  const unread = delivered.find((subject) => !within(subject, wanted));
  return unread === undefined ? undefined : `it delivers "${unread}" too, which the group does not read`;
}
