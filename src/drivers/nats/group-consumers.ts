import type { Api } from "./api.ts";
import type { ConsumerConfig, NativeConsumer } from "./api-types.ts";
import { borrowed } from "./borrowed-consumer.ts";
import { consumerNames } from "./consumer-names.ts";
import { apiCode, isApiError, NoAnswer } from "./errors.ts";
import { filesRemoved } from "./files-removed.ts";
import { coverOf, disjoint } from "./filters.ts";
import { type GroupDefinition, type Part } from "./group-plan.ts";
import type { Start } from "./group-start.ts";
import type { Progress } from "./owner.ts";
import { queueLane } from "./names.ts";
import type { Shared } from "./shared.ts";

const nanos = 1e6;
/** 2.10 says so to the second of two who make the same one at once. */
const storeBusy = 10012;
const tries = 20;
const againMs = 50;
/** The servers of a cluster choose the leader of a new consumer in 4 to 9 s when they would have chosen one that is away. */
const electionMs = 20_000;
const liveIdleMs = 60_000;
const never = (): boolean => false;

/** What every consumer of a group has: nothing is given up, nothing held back, and order is by the stream. */
function common(shared: Shared, definition: GroupDefinition, name: string): ConsumerConfig {
  const { leaseMs } = shared.session.options;
  const kept = definition.live
    ? { name, inactive_threshold: Math.max(liveIdleMs, 2 * leaseMs) * nanos, mem_storage: true, num_replicas: 1 }
    : { name, durable_name: name };
  return {
    ...kept,
    ack_policy: "explicit",
    ack_wait: leaseMs * nanos,
    max_deliver: -1,
    max_ack_pending: -1,
  };
}

function beginning(start: Start): Pick<ConsumerConfig, "deliver_policy" | "opt_start_seq" | "opt_start_time"> {
  return "sequence" in start
    ? { deliver_policy: "by_start_sequence", opt_start_seq: Math.max(start.sequence, 1) }
    : { deliver_policy: "by_start_time", opt_start_time: new Date(start.time).toISOString() };
}

/** Whoever makes it makes the same one; `exact`: the server delivers nothing but what the patterns match. */
export async function makePart(
  shared: Shared,
  definition: GroupDefinition,
  part: Part,
  filter: (pattern: string) => string,
): Promise<{ readonly info: NativeConsumer; readonly exact: boolean }> {
  const name = consumerNames.part(definition, part);
  if (definition.consumers?.[part.stream] !== undefined)
    return { info: await borrowed(shared, definition, part.stream), exact: true };
  const config = { ...common(shared, definition, name), ...beginning(part.start) };
  return await makeFiltered(shared, nativeOf(shared, part.stream), config, part.patterns, filter);
}

/** `over`: nobody waits for it any more. */
export async function makeEpoch(
  shared: Shared,
  definition: GroupDefinition,
  native: string,
  name: string,
  start: Start,
  patterns: readonly string[],
  filter: (pattern: string) => string,
  over: () => boolean,
): Promise<NativeConsumer> {
  const config = { ...common(shared, definition, name), ...beginning(start) };
  return (await makeFiltered(shared, native, config, patterns, filter, over)).info;
}

/** Of a work queue: from the oldest, since what was handled is no longer there. One at a time. */
export async function makeQueue(
  shared: Shared,
  definition: GroupDefinition,
  name: string,
  over: () => boolean = never,
): Promise<NativeConsumer> {
  const { api, session } = shared;
  const { names } = session;
  const config: ConsumerConfig = {
    ...common(shared, definition, name),
    deliver_policy: "all",
    filter_subjects: [names.queueFilter(definition.group)],
    ...(definition.live ? { num_replicas: 0 } : {}),
  };
  for (let times = 1; ; times += 1) {
    try {
      return await existing(shared, names.queue, config, over);
    } catch (error) {
      if (times > 2) throw error;
      if (isApiError(error, apiCode.queueNotUnique)) await removeOthers(api, names.queue, definition.group, name);
      else if (isApiError(error, apiCode.streamNotFound) && session.context.manage === "create") {
        await filesRemoved(session.clock);
        await shared.streams.prepare(); // somebody deleted it
      } else throw error;
    }
  }
}

/** One was left by somebody who ended before he could delete it. */
async function removeOthers(api: Api, stream: string, group: string, name: string): Promise<void> {
  for (const { name: other } of await api.consumers(stream))
    if (other !== name && consumerNames.groupOf(other) === group) await api.deleteConsumer(stream, other);
}

async function makeFiltered(
  shared: Shared,
  stream: string,
  config: ConsumerConfig,
  patterns: readonly string[],
  filter: (pattern: string) => string,
  over: () => boolean = never,
): Promise<{ readonly info: NativeConsumer; readonly exact: boolean }> {
  const made = async (filters: readonly string[]): Promise<NativeConsumer> =>
    await existing(shared, stream, { ...config, filter_subjects: filters.map(filter) }, over);
  // of 2.10 one filter delivers a hundred times faster than two
  if (patterns.length > 1 && !shared.session.version.atLeast(2, 11))
    return { info: await made([coverOf(patterns)]), exact: false };
  try {
    return { info: await made(patterns), exact: true };
  } catch (error) {
    if (!isApiError(error, apiCode.filtersOverlap)) throw error;
  }
  return { info: await made(disjoint(patterns)), exact: false }; // this server takes none that share a topic
}

/**
 * One that was made with another lease is as good: its name says what it reads. Another may be making it at this moment; and one
 * that has no leader yet answers nobody: whoever made another instead would wait for the next one's leader.
 */
async function existing(
  { api, session }: Shared,
  stream: string,
  config: ConsumerConfig,
  over: () => boolean,
): Promise<NativeConsumer> {
  const until = session.clock.ticks() + electionMs;
  for (let times = 1; ;) {
    try {
      return await api.createConsumer(stream, config, "create");
    } catch (error) {
      let leaderless = isLeaderless(error);
      if (!leaderless) {
        // one of this name may be on its way out (2.10)
        if (!isApiError(error, apiCode.consumerExists, apiCode.consumerGone, storeBusy)) throw error;
        try {
          const found = await api.consumerInfo(stream, config.name!);
          if (found !== undefined) return found;
        } catch (unknown) {
          if (!isLeaderless(unknown)) throw unknown;
          leaderless = true;
        }
        if (!leaderless && times === tries) throw error;
        times += 1;
      }
      if (leaderless && (!session.connected || over() || session.clock.ticks() > until)) throw error;
      await new Promise<void>((resolve) => void session.clock.after(againMs, resolve));
    }
  }
}

const isLeaderless = (error: unknown): boolean =>
  error instanceof NoAnswer ? error.timedOut : isApiError(error, apiCode.noLeader);

/** While nothing was acknowledged the floor that a server says may lie below the start. */
export function progressOf({ ack_floor, delivered }: NativeConsumer): Progress {
  return { floor: ack_floor.consumer_seq === 0 ? null : ack_floor.stream_seq, delivered: delivered.stream_seq };
}

/** The stream of one of a group's lanes. */
export const nativeOf = (shared: Shared, stream: string): string =>
  stream === queueLane
    ? shared.session.names.queue
    : (shared.streams.get(stream)?.native ?? shared.session.names.stream(stream));
