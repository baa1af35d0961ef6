import { DriverError } from "../../internal/driver-error.ts";
import type { Packer } from "./record-encoder.ts";

/** A connection of `@platformatic/kafka`; what is used of it, so that nobody's types need the package. */
export interface KafkaConnection {
  readonly socket: { destroy(): void } | undefined;
  connect(host: string, port: number): Promise<unknown>;
  close(): Promise<unknown>;
  on(event: string, listener: (...args: unknown[]) => void): unknown;
  send(
    key: number,
    version: number,
    payload: () => unknown,
    parser: AnswerParser,
    requestTags: boolean,
    responseTags: boolean,
    done: (error: unknown, answer?: unknown) => void,
  ): void;
}

export type AnswerParser = (correlationId: number, key: number, version: number, reader: ClientReader) => unknown;

/** What the client writes a request with. */
export interface ClientWriter {
  readonly context: { noResponse?: boolean };
  append(bytes: Buffer): ClientWriter;
  appendInt16(value: number): ClientWriter;
  appendInt32(value: number): ClientWriter;
  appendUnsignedVarInt(value: number): ClientWriter;
  appendString(text: string | null): ClientWriter;
  appendTaggedFields(): ClientWriter;
}

/** What the client reads an answer with. */
export interface ClientReader {
  readonly buffer: { slice(from: number, to: number): Buffer };
  readonly position: number;
  skip(bytes: number): unknown;
  readInt16(): number;
  readInt32(): number;
  readInt64(): bigint;
  readUUID(): string;
  readUnsignedVarInt(): number;
  readArray<Item>(read: (reader: ClientReader) => Item, compact: boolean, tags: boolean): Item[];
  readNullableArray<Item>(read: (reader: ClientReader) => Item): Item[] | null;
  readTaggedFields(): void;
}

/** A kind of request, in one version of it. */
export interface KafkaApi<Args extends readonly unknown[], Answer> {
  readonly key: number;
  readonly version: number;
  readonly async: (connection: KafkaConnection, ...args: Args) => Promise<Answer>;
}

interface Message<Args extends readonly unknown[], Answer> {
  readonly api: KafkaApi<Args, Answer>;
}

export interface ApiVersions {
  readonly apiKeys: readonly {
    readonly apiKey: number;
    readonly name: string;
    readonly minVersion: number;
    readonly maxVersion: number;
  }[];
}

export interface Metadata {
  readonly brokers: readonly { readonly nodeId: number; readonly host: string; readonly port: number }[];
  readonly clusterId: string | null;
  readonly controllerId: number;
  readonly topics: readonly {
    readonly errorCode: number;
    readonly name: string | null;
    readonly topicId: string;
    readonly partitions: readonly {
      readonly errorCode: number;
      readonly partitionIndex: number;
      readonly leaderId: number;
      readonly leaderEpoch: number;
    }[];
  }[];
}

export interface ProduceAnswer {
  readonly responses: readonly {
    readonly name: string;
    readonly partitionResponses: readonly {
      readonly index: number;
      readonly errorCode: number;
      readonly baseOffset: bigint;
    }[];
  }[];
}

/** By which a broker knows this process's batches again. */
export interface ProducerId {
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

export interface JoinAnswer {
  readonly generationId: number;
  readonly leader: string;
  readonly memberId: string;
  /** Of the leader's answer alone. */
  readonly members: readonly { readonly memberId: string; readonly metadata: Buffer | null }[];
}

/** One place of a commit, or what was committed there. */
export interface CommitPlace {
  readonly partitionIndex: number;
  readonly committedOffset: bigint;
  readonly committedLeaderEpoch: number;
  readonly committedMetadata: string | null;
}

export interface OffsetFetchAnswer {
  readonly groups: readonly {
    readonly errorCode: number;
    readonly topics: readonly {
      readonly name: string;
      readonly partitions: readonly {
        readonly partitionIndex: number;
        readonly committedOffset: bigint;
        readonly metadata: string | null;
        readonly errorCode: number;
      }[];
    }[];
  }[];
}

export interface ListOffsetsAnswer {
  readonly topics: readonly {
    readonly name: string;
    readonly partitions: readonly {
      readonly partitionIndex: number;
      readonly errorCode: number;
      readonly timestamp: bigint;
      readonly offset: bigint;
    }[];
  }[];
}

export interface DescribedGroup {
  readonly errorCode: number;
  readonly groupId: string;
  readonly groupState: string;
  readonly protocolType: string;
  readonly protocolData: string;
  readonly members: readonly {
    readonly memberId: string;
    readonly memberMetadata: Buffer;
    readonly memberAssignment: Buffer;
  }[];
}

export interface NewTopic {
  readonly name: string;
  readonly numPartitions: number;
  readonly replicationFactor: number;
  readonly assignments: readonly [];
  readonly configs: readonly { readonly name: string; readonly value: string }[];
}

interface PartitionError {
  readonly partitionIndex: number;
  readonly errorCode: number;
}

export interface SaslOptions {
  readonly mechanism: "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512";
  readonly username: string;
  readonly password: string;
}

export interface ConnectionOptions {
  readonly connectTimeout: number;
  readonly requestTimeout: number;
  readonly maxInflights: number;
  readonly tls?: object | undefined;
  readonly tlsServerName?: string | undefined;
  readonly sasl?: SaslOptions | undefined;
}

/** Requests by name and version: each is one question and one answer, and tries nothing again. */
export interface ClientModule {
  readonly Connection: new (clientId: string, options: ConnectionOptions) => KafkaConnection;
  readonly apiVersionsV3: Message<[software: string, version: string], ApiVersions>;
  readonly metadataV12: Message<[topics: readonly string[] | null, autoCreate: boolean, authorized: boolean], Metadata>;
  readonly initProducerIdV5: Message<
    [transactionalId: null, timeoutMs: number, producerId: undefined, producerEpoch: undefined],
    ProducerId
  >;
  readonly produceV11: {
    readonly api: { readonly key: number; readonly version: number };
    readonly parseResponse: AnswerParser;
  };
  readonly findCoordinatorV6: Message<
    [keyType: 0, groups: readonly string[]],
    { readonly coordinators: readonly { readonly host: string; readonly port: number }[] }
  >;
  readonly joinGroupV9: Message<
    [
      group: string,
      sessionTimeoutMs: number,
      rebalanceTimeoutMs: number,
      memberId: string,
      instanceId: null,
      protocolType: "consumer",
      protocols: readonly { readonly name: string; readonly metadata: Buffer }[],
      reason: string,
    ],
    JoinAnswer
  >;
  readonly syncGroupV5: Message<
    [
      group: string,
      generation: number,
      memberId: string,
      instanceId: null,
      protocolType: "consumer",
      protocol: string,
      assignments: readonly { readonly memberId: string; readonly assignment: Buffer }[],
    ],
    { readonly assignment: Buffer }
  >;
  readonly heartbeatV4: Message<[group: string, generation: number, memberId: string, instanceId: null], unknown>;
  readonly leaveGroupV5: Message<
    [group: string, members: readonly { readonly memberId: string; readonly reason: string | null }[]],
    unknown
  >;
  readonly fetchV17: {
    readonly api: { readonly key: number; readonly version: number };
    readonly createRequest: (
      maxWaitMs: number,
      minBytes: number,
      maxBytes: number,
      isolation: number,
      sessionId: number,
      sessionEpoch: number,
      topics: readonly object[],
      forgotten: readonly [],
      rack: string,
    ) => unknown;
  };
  readonly listOffsetsV9: Message<[replica: -1, isolation: 0, topics: readonly object[]], ListOffsetsAnswer>;
  readonly offsetCommitV9: Message<
    [
      group: string,
      generation: number,
      memberId: string,
      instanceId: null,
      topics: readonly { readonly name: string; readonly partitions: readonly CommitPlace[] }[],
    ],
    { readonly topics: readonly { readonly name: string; readonly partitions: readonly PartitionError[] }[] }
  >;
  readonly offsetFetchV9: Message<
    [groups: readonly { readonly groupId: string; readonly memberEpoch: -1; readonly topics: null }[], stable: boolean],
    OffsetFetchAnswer
  >;
  readonly createTopicsV7: Message<
    [topics: readonly NewTopic[], timeoutMs: number, validateOnly: boolean],
    {
      readonly topics: readonly {
        readonly name: string;
        readonly errorCode: number;
        readonly errorMessage: string | null;
      }[];
    }
  >;
  readonly deleteTopicsV6: Message<
    [topics: readonly { readonly name: string }[], timeoutMs: number],
    { readonly responses: readonly { readonly name: string | null; readonly errorCode: number }[] }
  >;
  readonly deleteRecordsV2: Message<
    [
      topics: readonly {
        readonly name: string;
        readonly partitions: readonly { readonly partitionIndex: number; readonly offset: bigint }[];
      }[],
      timeoutMs: number,
    ],
    unknown
  >;
  readonly describeGroupsV5: Message<
    [groups: readonly string[], authorized: boolean],
    { readonly groups: readonly DescribedGroup[] }
  >;
  readonly consumerGroupDescribeV0: Message<
    [groups: readonly string[], authorizedOperations: boolean],
    { readonly groups: readonly { readonly members: readonly unknown[] }[] }
  >;
  readonly deleteGroupsV2: Message<[groups: readonly string[]], unknown>;
  readonly describeConfigsV4: Message<
    [
      resources: readonly {
        readonly resourceType: 2;
        readonly resourceName: string;
        readonly configurationKeys: readonly string[];
      }[],
      includeSynonyms: boolean,
      includeDocumentation: boolean,
    ],
    {
      readonly results: readonly {
        readonly errorCode: number;
        readonly configs: readonly { readonly name: string; readonly value: string | null }[];
      }[];
    }
  >;
  readonly incrementalAlterConfigsV1: Message<
    [
      resources: readonly {
        readonly resourceType: 2;
        readonly resourceName: string;
        readonly configs: readonly { readonly name: string; readonly configOperation: 0; readonly value: string }[];
      }[],
      validateOnly: boolean,
    ],
    unknown
  >;
  readonly describeLogDirsV4: Message<
    [topics: readonly { readonly name: string; readonly partitions: readonly number[] }[] | null],
    {
      readonly results: readonly {
        readonly topics: readonly {
          readonly name: string;
          readonly partitions: readonly { readonly partitionSize: bigint }[];
        }[];
      }[];
    }
  >;
  readonly Writer: { create(): ClientWriter };
  readonly crc32c: (bytes: Buffer) => number;
  readonly compressionsAlgorithms: Readonly<Record<"gzip" | "snappy" | "lz4" | "zstd", Packer>>;
  readonly compressionsAlgorithmsByBitmask: Readonly<
    Record<number, { readonly decompressSync: (bytes: Buffer) => Buffer } | undefined>
  >;
  readonly encodeConsumerProtocolSubscription: (subscription: {
    readonly version: 1;
    readonly topics: readonly string[];
    readonly userData: Buffer;
    readonly ownedPartitions: readonly [];
  }) => Buffer;
  readonly decodeConsumerProtocolSubscription: (bytes: Buffer) => { readonly userData: Buffer };
  readonly encodeConsumerProtocolAssignment: (assignment: {
    readonly version: 0;
    readonly assignedPartitions: readonly { readonly topic: string; readonly partitions: readonly number[] }[];
    readonly userData: Buffer;
  }) => Buffer;
  readonly decodeConsumerProtocolAssignment: (bytes: Buffer) => { readonly userData: Buffer };
  readonly saslHandshakeV1: Message<[mechanism: string], { readonly mechanisms: readonly string[] }>;
}

let loaded: Promise<ClientModule> | undefined;

export function loadClient(): Promise<ClientModule> {
  return (loaded ??= load());
}

async function load(): Promise<ClientModule> {
  try {
    // what it exports is wider than what is used of it
    return (await import("@platformatic/kafka")) as unknown as ClientModule;
  } catch (cause) {
    loaded = undefined;
    const how = "npm install @platformatic/kafka@2.12.1";
    throw new DriverError("BUS_CLIENT_MISSING", `the driver "kafka" needs @platformatic/kafka: ${how}`, { cause });
  }
}
