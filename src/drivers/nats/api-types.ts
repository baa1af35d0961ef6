/** JetStream's own words; only what we use. Durations are nanoseconds. */
export interface StreamConfig {
  readonly name: string;
  readonly subjects: readonly string[];
  readonly retention?: "limits" | "workqueue";
  readonly storage?: "file" | "memory";
  readonly discard?: "old" | "new";
  readonly max_age?: number;
  readonly max_bytes?: number;
  readonly max_msgs?: number;
  readonly max_msgs_per_subject?: number;
  readonly max_msg_size?: number;
  readonly duplicate_window?: number;
  readonly num_replicas?: number;
  readonly allow_rollup_hdrs?: boolean;
  readonly deny_delete?: boolean;
  readonly allow_msg_ttl?: boolean;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly description?: string;
  readonly no_ack?: boolean;
  readonly sealed?: boolean;
  readonly mirror?: object;
}

export interface StreamState {
  readonly messages: number;
  readonly bytes: number;
  readonly first_seq: number;
  readonly first_ts: string;
  readonly last_seq: number;
  readonly last_ts: string;
  readonly consumer_count: number;
  readonly subjects?: Readonly<Record<string, number>>;
}

export interface NativeStream {
  readonly config: StreamConfig;
  readonly state: StreamState;
  readonly created: string;
}

export interface ConsumerConfig {
  readonly name?: string;
  readonly durable_name?: string;
  readonly filter_subject?: string;
  readonly filter_subjects?: readonly string[];
  readonly deliver_policy?: "all" | "new" | "last_per_subject" | "by_start_sequence" | "by_start_time";
  readonly opt_start_seq?: number;
  readonly opt_start_time?: string;
  readonly ack_policy: "none" | "explicit" | "all";
  readonly ack_wait?: number;
  readonly max_deliver?: number;
  readonly max_ack_pending?: number;
  readonly max_waiting?: number;
  readonly inactive_threshold?: number;
  readonly num_replicas?: number;
  readonly mem_storage?: boolean;
  readonly headers_only?: boolean;
  readonly deliver_subject?: string;
  readonly backoff?: readonly number[];
  readonly priority_groups?: readonly string[];
  readonly max_batch?: number;
  readonly max_bytes?: number;
  readonly max_expires?: number;
  readonly metadata?: Readonly<Record<string, string>>;
}

interface SequencePair {
  readonly consumer_seq: number;
  readonly stream_seq: number;
}

export interface NativeConsumer {
  readonly stream_name: string;
  readonly name: string;
  readonly created: string;
  readonly config: ConsumerConfig;
  readonly delivered: SequencePair;
  readonly ack_floor: SequencePair;
  readonly num_ack_pending: number;
  readonly num_redelivered: number;
  readonly num_waiting: number;
  readonly num_pending: number;
}

export interface PubAck {
  readonly stream: string;
  readonly seq: number;
  readonly duplicate?: boolean;
}

/** By sequence, the last of a subject, or the next of a subject's pattern from a sequence on. */
export type MessageQuery =
  | { readonly seq: number }
  | { readonly last_by_subj: string }
  | { readonly seq: number; readonly next_by_subj: string };
