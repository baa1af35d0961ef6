import type { Api } from "./api.ts";
import type { NativeConsumer } from "./api-types.ts";
import { disjoint } from "./filters.ts";
import { apiCode, isApiError } from "./errors.ts";
import type { Start } from "./group-start.ts";
import type { Session } from "./session.ts";

interface Parts {
  readonly session: Session;
  readonly api: Api;
}

/** What the server says of messages on these subjects from a place on, without reading them. */
export interface Matching {
  readonly count: number;
  /** Nothing that matches lies between the start and this, itself included; of a start by time it is the place itself. */
  readonly before: number;
}

/**
 * Asks by a consumer made for it: a stream's own answer lists every subject with its count, and 100,000 at most. An older
 * server takes no filters that overlap in part, and then counts too much.
 */
export async function matching(
  { session, api }: Parts,
  stream: string,
  filters: readonly string[],
  start: Start,
): Promise<Matching> {
  const name = `c=${session.id()}`;
  const make = (subjects: readonly string[]): Promise<NativeConsumer> =>
    api.createConsumer(stream, {
      name,
      filter_subjects: subjects,
      ack_policy: "none",
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: 5_000_000_000,
      ...("time" in start
        ? { deliver_policy: "by_start_time", opt_start_time: new Date(start.time).toISOString() }
        : { deliver_policy: "by_start_sequence", opt_start_seq: Math.max(start.sequence, 1) }),
    });
  let made: NativeConsumer;
  try {
    made = await make(filters);
  } catch (error) {
    if (!isApiError(error, apiCode.filtersOverlap)) throw error;
    made = await make(disjoint(filters));
  }
  await api.deleteConsumer(stream, name);
  return { count: made.num_pending, before: made.delivered.stream_seq };
}

export async function countMatching(
  parts: Parts,
  stream: string,
  filters: readonly string[],
  from = 1,
): Promise<number> {
  return (await matching(parts, stream, filters, { sequence: from })).count;
}
