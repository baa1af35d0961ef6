import { createHash } from "node:crypto";
import { basename, dirname } from "node:path";
import type { BrokerKind } from "./broker-kind.ts";
import { type Certificates, type KeyPairFiles, serverPair } from "./certificates.ts";
import { formCluster } from "./kafka-cluster.ts";
import { type KafkaUser, makeKafkaUser } from "./kafka-users.ts";
import { mavenServer } from "./maven.ts";

const releases = { newest: "4.4.0", "4.1": "4.1.2" } as const;
const variants = [
  "plain",
  "password",
  "scram-256",
  "scram-512",
  "tls",
  "mtls",
  "tls-expired",
  "tls-wrong-host",
  "tls-password",
  "tls-scram-256",
  "tls-scram-512",
  "restricted",
  "elsewhere", // it tells clients to go on at a port where nobody is
  "cluster",
] as const;
type Variant = (typeof variants)[number];

const login = { user: "omnibus", password: "secret" };
const hashes: Partial<Record<Variant, KafkaUser["hash"]>> = {
  "scram-256": "sha256",
  "scram-512": "sha512",
  "tls-scram-256": "sha256",
  "tls-scram-512": "sha512",
};
const withPlain: readonly Variant[] = ["password", "tls-password", "restricted"];
const security = "org.apache.kafka.common.security";

/**
 * What stands in a file of the broker's, without it being there yet. As all paths here seen from the folder where the server works:
 * its configuration can't hold every path.
 */
const contents = (path: string): string => `\${directory:../${basename(dirname(path))}:${basename(path)}}`;

const tlsLines = (pair: KeyPairFiles, { ca }: Certificates, mutual: boolean): readonly string[] => [
  "config.providers=directory",
  "config.providers.directory.class=org.apache.kafka.common.config.provider.DirectoryConfigProvider",
  "ssl.keystore.type=PEM",
  `ssl.keystore.key=${contents(pair.key)}`,
  `ssl.keystore.certificate.chain=${contents(pair.cert)}`,
  "ssl.truststore.type=PEM",
  `ssl.truststore.certificates=${contents(ca)}`,
  `ssl.client.auth=${mutual ? "required" : "none"}`,
];

/** Undefined: no password is asked for. */
function saslLines(variant: Variant): readonly string[] | undefined {
  const hash = hashes[variant];
  if (hash === undefined && !withPlain.includes(variant)) return undefined;
  const mechanism = hash === undefined ? "PLAIN" : `SCRAM-SHA-${hash.slice(3)}`;
  const users = [login, ...(variant === "restricted" ? [{ user: "app", password: "secret" }] : [])];
  const module =
    hash === undefined
      ? `plain.PlainLoginModule required ${users.map((each) => `user_${each.user}="${each.password}"`).join(" ")}`
      : "scram.ScramLoginModule required";
  return [
    `sasl.enabled.mechanisms=${mechanism}`,
    `listener.name.client.${mechanism.toLowerCase()}.sasl.jaas.config=${security}.${module};`,
  ];
}

/** A user may do nothing but what was allowed, except the first one; what servers say to each other has no user. */
const restrictedLines = [
  "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
  `super.users=User:${login.user};User:ANONYMOUS`,
];

/** 16 bytes as Kafka writes them. */
const uuid = (text: string): string => createHash("md5").update(text).digest("base64url");

export const kafka: BrokerKind<Variant, keyof typeof releases> = {
  name: "kafka",
  executable: "kafka-server-start.sh",
  programs: ["java"],
  versionArgs: ["--version"],
  minimum: "4.1.0",
  releases,
  variants,
  inContainers: false,
  onJava: true,
  ports: (variant) => (variant === "cluster" ? [3, 3, 3] : [3]), // clients, controllers, servers among themselves
  readyLine: /Kafka Server started/,
  installers: (release) => [
    mavenServer({
      name: "kafka",
      version: releases[release],
      artifacts: [`org.apache.kafka:kafka_2.13:${releases[release]}`, "org.slf4j:slf4j-simple:1.7.36"],
      without: ["org.apache.kafka:kafka-tools-api"], // 4.4.0 names it, and it was not published
      main: "kafka.Kafka",
      // Small, and quick to start rather than quick.
      javaArgs: ["-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"],
    }),
  ],
  plan: ({ variant, id, host, servers, certificates }) => {
    const pair = serverPair(variant, certificates);
    const sasl = saslLines(variant);
    const hash = hashes[variant];
    const [first] = servers;
    if (first === undefined) throw new TypeError("Kafka needs a server");
    const copies = servers.length;
    const javaHome = process.env["JAVA_HOME"];
    const protocol = `${sasl === undefined ? "" : "SASL_"}${pair === undefined ? "PLAINTEXT" : "SSL"}`;
    const internal = servers.map(({ ports }) => ports[2] ?? 0);
    const voters = servers.map(({ ports }, at) => `${at + 1}@127.0.0.1:${ports[1]}`).join(",");
    const config = ({ ports: [client, controller, own] }: (typeof servers)[number], at: number): string =>
      [
        "process.roles=broker,controller",
        `node.id=${at + 1}`,
        `listeners=CLIENT://${host}:${client},CONTROLLER://127.0.0.1:${controller},INTERNAL://127.0.0.1:${own}`,
        `advertised.listeners=CLIENT://127.0.0.1:${variant === "elsewhere" ? 1 : client},INTERNAL://127.0.0.1:${own}`,
        `listener.security.protocol.map=CLIENT:${protocol},CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT`,
        "controller.listener.names=CONTROLLER",
        "inter.broker.listener.name=INTERNAL",
        `controller.quorum.voters=${voters}`,
        "log.dirs=.",
        // Room for a test's topics, and threads for a test's load.
        "num.network.threads=2",
        "num.io.threads=4",
        "background.threads=2",
        "num.recovery.threads.per.data.dir=1",
        "log.cleaner.dedupe.buffer.size=8388608",
        // Made by the bus, or not at all.
        "auto.create.topics.enable=false",
        "offsets.topic.num.partitions=4",
        `offsets.topic.replication.factor=${copies}`,
        "transaction.state.log.num.partitions=1",
        `transaction.state.log.replication.factor=${copies}`,
        "transaction.state.log.min.isr=1",
        `default.replication.factor=${copies}`,
        `min.insync.replicas=${copies > 1 ? 2 : 1}`,
        // Its own 3 s are a courtesy to large groups.
        "group.initial.rebalance.delay.ms=0",
        // How long after a kill nobody else leads, and it does not start itself: 9 s by default.
        "broker.session.timeout.ms=3000",
        "broker.heartbeat.interval.ms=500",
        ...(pair === undefined ? [] : tlsLines(pair, certificates, variant === "mtls")),
        ...(sasl ?? []),
        ...(variant === "restricted" ? restrictedLines : []),
        "",
      ].join("\n");
    // What Kafka's own tool writes when it formats a disk.
    const properties = (at: number): string =>
      ["version=1", `cluster.id=${uuid(id)}`, `node.id=${at + 1}`, `directory.id=${uuid(`${id} ${at}`)}`, ""].join(
        "\n",
      );
    const access = sasl === undefined ? "" : `${login.user}:${login.password}@`;
    return {
      servers: servers.map((server, at) => ({
        args: ["server.properties"],
        env: {
          LANG: "C.UTF-8", // else Java finds no folder with other letters than English ones
          ...(javaHome === undefined ? {} : { JAVA_HOME: javaHome }),
        },
        files: { "server.properties": config(server, at), "meta.properties": properties(at) },
      })),
      url: `${pair === undefined ? "kafka" : "kafkas"}://${access}127.0.0.1:${first.ports[0]}`,
      login: sasl === undefined ? undefined : login,
      settle: async (signal) => {
        await formCluster(internal, signal);
        if (hash !== undefined) await makeKafkaUser(internal[0] ?? 0, { ...login, hash }, signal);
      },
    };
  },
};
