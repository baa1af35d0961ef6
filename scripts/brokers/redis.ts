import { setTimeout as sleep } from "node:timers/promises";
import type { BrokerKind, BrokerPlan } from "./broker-kind.ts";
import { serverPair } from "./certificates.ts";
import { debianPackage } from "./installer.ts";
import { redisCommand } from "./redis-command.ts";

const releases = { newest: "8.10.0" } as const; // of the container; Debian's as it comes
const variants = [
  "plain",
  "no-append",
  "password",
  "tls",
  "mtls",
  "tls-expired",
  "tls-wrong-host",
  "replica",
  "cluster",
] as const;
type Variant = (typeof variants)[number];

const slots = 16_384;
/** Its configuration has JSON's way to write a text. */
const quoted = (text: string): string => JSON.stringify(text);
const login = { user: "omnibus", password: "secret" };

async function until(condition: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  while (!(await condition())) await sleep(20, undefined, { signal });
}

/** Three primaries. What is there already is not made again, so that a restarted cluster is only waited for. */
async function formCluster(ports: readonly number[], busPorts: readonly number[], signal: AbortSignal): Promise<void> {
  const info = (port: number): Promise<string> => redisCommand(port, "CLUSTER", "INFO");
  const [first = 0, ...others] = ports;
  for (const [at, port] of ports.entries()) {
    if (!(await info(port)).includes("cluster_slots_assigned:0\r\n")) continue;
    const from = Math.ceil((at * slots) / ports.length);
    const to = Math.ceil(((at + 1) * slots) / ports.length) - 1;
    await redisCommand(port, "CLUSTER", "SET-CONFIG-EPOCH", String(at + 1));
    await redisCommand(port, "CLUSTER", "ADDSLOTSRANGE", String(from), String(to));
  }
  for (const port of others)
    await redisCommand(port, "CLUSTER", "MEET", "127.0.0.1", String(first), String(busPorts[0]));
  await until(async () => {
    const states = await Promise.all(ports.map(info));
    return states.every(
      (state) => state.includes("cluster_state:ok") && state.includes(`cluster_known_nodes:${ports.length}\r\n`),
    );
  }, signal);
}

export const redis: BrokerKind<Variant, keyof typeof releases> = {
  name: "redis",
  executable: "redis-server",
  versionArgs: ["--version"],
  minimum: "7.0.0",
  releases,
  variants,
  ports: (variant) => ({ cluster: [2, 2, 2], replica: [1, 1] })[variant as string] ?? [1],
  readyLine: /Ready to accept connections/,
  installers: () => [debianPackage("redis-server", "/usr/bin/redis-server")],
  plan: ({ variant, host, servers, certificates }) => {
    const pair = serverPair(variant, certificates);
    const ports = servers.map((server) => server.ports[0] ?? 0);
    const busPorts = servers.map((server) => server.ports[1] ?? 0);
    const [first = 0, second = 0] = ports;
    const listening = (port: number): readonly string[] =>
      pair === undefined
        ? [`port ${port}`]
        : [
            "port 0",
            `tls-port ${port}`,
            `tls-cert-file ${quoted(pair.cert)}`,
            `tls-key-file ${quoted(pair.key)}`,
            `tls-ca-cert-file ${quoted(certificates.ca)}`,
            `tls-auth-clients ${variant === "mtls" ? "yes" : "no"}`,
          ];
    const special: Partial<Record<Variant, (at: number) => readonly string[]>> = {
      password: () => ["user default off", `user ${login.user} on >${login.password} ~* &* +@all`],
      replica: (at) => (at === 0 ? ["repl-diskless-sync-delay 0"] : [`replicaof 127.0.0.1 ${first}`]),
      cluster: (at) => ["cluster-enabled yes", `cluster-port ${busPorts[at]}`, "cluster-node-timeout 2000"],
    };
    const config = (folder: string, at: number): readonly string[] => [
      `bind ${host}`,
      "protected-mode no", // it is on loopback, or behind a port that is published on loopback
      ...listening(ports[at] ?? 0),
      `dir ${quoted(folder)}`,
      `appendonly ${variant === "no-append" ? "no" : "yes"}`,
      'save ""',
      "maxmemory-policy noeviction",
      ...(special[variant]?.(at) ?? []),
    ];
    const settle: Partial<Record<Variant, NonNullable<BrokerPlan["settle"]>>> = {
      cluster: (signal) => formCluster(ports, busPorts, signal),
      replica: (signal) =>
        until(
          async () => (await redisCommand(second, "INFO", "replication")).includes("master_link_status:up"),
          signal,
        ),
    };
    const access = variant === "password" ? `${login.user}:${login.password}@` : "";
    return {
      servers: servers.map(({ folder }, at) => ({
        args: [`${folder}/redis.conf`],
        files: { "redis.conf": `${config(folder, at).join("\n")}\n` },
      })),
      url: `${pair === undefined ? "redis" : "rediss"}://${access}127.0.0.1:${first}`,
      login: variant === "password" ? login : undefined,
      settle: settle[variant],
    };
  },
};
