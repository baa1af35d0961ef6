export interface KafkaOptions {
  /** `host:port`, several with commas or as a list, or a url in which user and password may stand: `kafka://user:secret@host:9092`, `kafkas://` with TLS. @default "127.0.0.1:9092" */
  readonly brokers?: string | readonly string[] | undefined;
  /** How to log in. @default the strongest that the broker has; PLAIN without TLS only when it is named */
  readonly mechanism?: "plain" | "scram-sha-256" | "scram-sha-512" | undefined;
  /** @default what the url has */
  readonly username?: string | undefined;
  /** Or what gives it at each connect. @default what the url has */
  readonly password?: string | (() => string | Promise<string>) | undefined;
  /** TLS, with these files; `{}` asks for it with the system's authorities. @default what the url asks for */
  readonly tls?: KafkaTlsOptions | undefined;
  /** What the brokers know the process by. @default "<prefix>/<member's name>" */
  readonly clientId?: string | undefined;
  /** How many copies must have an event before it counts as stored: all that are in sync, the leader's, or none that is known of. @default "all" */
  readonly acks?: "all" | 1 | 0 | undefined;
  /** How batches are packed. @default "none" */
  readonly compression?: "none" | "gzip" | "snappy" | "lz4" | "zstd" | undefined;
  /** Most events of a partition in one batch. @default 256 */
  readonly batchSize?: number | undefined;
  /** Most bytes of a batch. @default 900_000 */
  readonly batchBytes?: number | undefined;
  /** How long events wait for others to go with, beyond the turn in which they are published. In milliseconds. @default 0 */
  readonly lingerMs?: number | undefined;
  /** How long an event is sent again and again before it is given up. In milliseconds. @default 30_000 */
  readonly deliveryTimeoutMs?: number | undefined;
  /** For an answer of a broker. In milliseconds. @default 5_000 */
  readonly requestTimeoutMs?: number | undefined;
  /** For a connection, login included. In milliseconds. @default 5_000 */
  readonly connectTimeoutMs?: number | undefined;
  /** How long a member may be silent before what it holds goes to others: 6 s at least, unless the broker allows less. In milliseconds. @default 10_000 */
  readonly sessionTimeoutMs?: number | undefined;
  /** How often a member says that it lives. In milliseconds. @default a tenth of the session, 250 to 3_000 */
  readonly heartbeatMs?: number | undefined;
  /** Where a group goes on whose place was dropped by retention. Partitions that are added later are read from their beginning. @default "oldest" */
  readonly offsetReset?: "oldest" | "newest" | undefined;
  /** Most bytes of an answer. @default 4_194_304 */
  readonly fetchBytes?: number | undefined;
  /** How long a broker waits for something to answer with. In milliseconds. @default 500 */
  readonly maxWaitMs?: number | undefined;
  /** The largest message that is sent; above the default the topics of new streams are made so that they take it (`max.message.bytes`). @default 1_044_492 */
  readonly maxMessageBytes?: number | undefined;
  /** Partitions of each group's own lane. Fixed when a group is made. @default 16 */
  readonly queuePartitions?: number | undefined;
  /** Copies of what the driver keeps for itself. @default as many as there are brokers, 3 at most */
  readonly replicas?: number | undefined;
  /** Streams that are topics of somebody else's, or of a name of your own: the stream's name → its topic and groups. @default none */
  readonly attach?: Readonly<Record<string, KafkaAttachment>> | undefined;
}

/** A topic that is there already. It is neither made, changed nor deleted, and has as many partitions as it has. */
export interface KafkaAttachment {
  /** The topic as Kafka has it. */
  readonly topic: string;
  /** The header of others' messages that has their event's topic; written, too. @default none: the stream's first topic without a wildcard, else the name of the topic if the stream captures it, else the stream's name */
  readonly topicHeader?: string | undefined;
  /** Groups that are at Kafka under a name of their own: our name → theirs, for good. They go on where they stand. @default `<prefix>.<group>` */
  readonly groups?: Readonly<Record<string, string>> | undefined;
}

export interface KafkaTlsOptions {
  /** The file of the authorities that are trusted. @default the system's */
  readonly caFile?: string | undefined;
  /** The file of the client's certificate. @default none */
  readonly certFile?: string | undefined;
  /** The file of its key. @default none */
  readonly keyFile?: string | undefined;
  /** Of the key. @default none */
  readonly passphrase?: string | undefined;
  /** The name that the brokers' certificates are to have. @default the host that is connected to */
  readonly serverName?: string | undefined;
}
