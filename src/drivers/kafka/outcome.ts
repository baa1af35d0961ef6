import type { Verdict } from "../../internal/system-error.ts";

/** What is to be done about one partition's answer to a batch. */
export type Outcome =
  | { readonly what: "stored" }
  /** Same sequence, after a while. `certain`: nothing of this try was stored. `missing`: for want of the topic. */
  | { readonly what: "again"; readonly certain: boolean; readonly leaderMoved: boolean; readonly missing?: true }
  /** Nothing was stored, and nothing will be. `cause`: of what was not even sent. */
  | { readonly what: "refused"; readonly verdict: Verdict; readonly cause?: unknown }
  /** As refused; smaller batches may pass. */
  | { readonly what: "too-large" }
  /** Nothing of this try was stored: the broker knows other sequences than we. */
  | { readonly what: "out-of-sequence" };

const again = (certain: boolean, leaderMoved = false): Outcome => ({ what: "again", certain, leaderMoved });
const refused = (...verdict: Verdict): Outcome => ({ what: "refused", verdict });

/** By Kafka's number of the error. */
const outcomes: ReadonlyMap<number, Outcome> = new Map<number, Outcome>([
  [0, { what: "stored" }],
  [46, { what: "stored" }], // DUPLICATE_SEQUENCE_NUMBER: by an earlier try
  [2, again(true)], // CORRUPT_MESSAGE: on its way
  [3, { what: "again", certain: true, leaderMoved: true, missing: true }], // UNKNOWN_TOPIC_OR_PARTITION: made a moment ago, or gone
  [5, again(true, true)], // LEADER_NOT_AVAILABLE
  [6, again(false, true)], // NOT_LEADER_OR_FOLLOWER: also when leadership moved while it waited for the other copies, one of which leads now
  [7, again(false)], // REQUEST_TIMED_OUT: waited for the other copies
  [8, again(true, true)], // BROKER_NOT_AVAILABLE
  [9, again(true, true)], // REPLICA_NOT_AVAILABLE
  [19, again(true)], // NOT_ENOUGH_REPLICAS
  [20, again(false)], // NOT_ENOUGH_REPLICAS_AFTER_APPEND: it is in the leader's log
  [56, again(false, true)], // KAFKA_STORAGE_ERROR
  [74, again(true, true)], // FENCED_LEADER_EPOCH
  [75, again(true, true)], // UNKNOWN_LEADER_EPOCH
  [89, again(true)], // THROTTLING_QUOTA_EXCEEDED
  [10, { what: "too-large" }], // MESSAGE_TOO_LARGE
  [18, { what: "too-large" }], // RECORD_LIST_TOO_LARGE: than a segment
  [45, { what: "out-of-sequence" }], // OUT_OF_ORDER_SEQUENCE_NUMBER
  [47, { what: "out-of-sequence" }], // INVALID_PRODUCER_EPOCH
  [59, { what: "out-of-sequence" }], // UNKNOWN_PRODUCER_ID
  [17, refused("BUS_INVALID_OPTION", false)], // INVALID_TOPIC_EXCEPTION
  [29, refused("BUS_AUTHENTICATION", false)], // TOPIC_AUTHORIZATION_FAILED
  [31, refused("BUS_AUTHENTICATION", false)], // CLUSTER_AUTHORIZATION_FAILED
  [32, refused("BUS_SERVER", false)], // INVALID_TIMESTAMP
  [44, refused("BUS_CONFLICT", false)], // POLICY_VIOLATION
  [76, refused("BUS_UNSUPPORTED", false)], // UNSUPPORTED_COMPRESSION_TYPE
  [87, refused("BUS_SERVER", false)], // INVALID_RECORD: a compacted topic wants a key
]);

/** What is not known may have stored it. */
export const outcomeOf = (errorCode: number): Outcome => outcomes.get(errorCode) ?? again(false);
