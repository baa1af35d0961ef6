import { createHash } from "node:crypto";
import { readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { BrokerKind, PlanInput, ServerPlan } from "./broker-kind.ts";
import { serverPair } from "./certificates.ts";
import { debianPackage } from "./installer.ts";
import { logName } from "./server-process.ts";

const releases = { newest: "4.3.6" } as const; // of the container; Debian's as it comes
const variants = [
  "plain",
  "password",
  "tls",
  "mtls",
  "tls-expired",
  "tls-wrong-host",
  "no-disk", // it reports that its disk is full, so whoever publishes is blocked
  "cluster",
] as const;
type Variant = (typeof variants)[number];

const login = { user: "omnibus", password: "secret" };

/** A text in Erlang's way to write one; of what JSON escapes it knows all but `\u`. */
const quoted = (text: string): string =>
  JSON.stringify(text).replace(/\\u([0-9a-f]{4})/g, (_all, hex: string) => `\\x{${hex}}`);

/** `other` is a virtual host where the user may do all, `closed` one where it may do nothing. */
const passwordDefinitions = {
  users: [{ name: login.user, password: login.password, tags: "administrator" }],
  vhosts: ["/", "other", "closed"].map((name) => ({ name })),
  permissions: ["/", "other"].map((vhost) => ({
    user: login.user,
    vhost,
    configure: ".*",
    write: ".*",
    read: ".*",
  })),
};

/**
 * Above 500 lines in a second its logger drops some, and the line that it is ready would be one of them: with hundreds of queues, or,
 * since it warns of two files of each, after hundreds were deleted.
 */
const quietLog = `log.console.level = info
log.queue.level = warning
log.connection.level = warning
log.ra.level = error
`;

const nodeName = (id: string, at: number): string => `${id}-${at + 1}@localhost`;

/** In Erlang's terms, because rabbitmq.conf can't hold every path. */
function configuration({ variant, id, host, servers, certificates }: PlanInput<Variant>, at: number): string {
  const { folder = "", ports: [port = 0] = [] } = servers[at] ?? {};
  const pair = serverPair(variant, certificates);
  const listener = `[{${quoted(host)}, ${port}}]`;
  const mutual = variant === "mtls";
  const terms = [
    ...(pair === undefined
      ? [`{tcp_listeners, ${listener}}`]
      : [
          "{tcp_listeners, []}",
          `{ssl_listeners, ${listener}}`,
          `{ssl_options, [{cacertfile, ${quoted(certificates.ca)}}, {certfile, ${quoted(pair.cert)}},
            {keyfile, ${quoted(pair.key)}}, {verify, ${mutual ? "verify_peer" : "verify_none"}}, {fail_if_no_peer_cert, ${mutual}}]}`,
        ]),
    "{loopback_users, []}", // it is on loopback, or behind a port that is published on loopback
    ...(variant === "password" ? [`{load_definitions, ${quoted(`${folder}/definitions.json`)}}`] : []),
    `{disk_free_limit, ${variant === "no-disk" ? "1000000000000000000" : "50000000"}}`,
    ...(variant === "cluster"
      ? [
          `{cluster_nodes, {[${servers.map((_, each) => `'${nodeName(id, each)}'`).join(", ")}], disc}}`,
          "{cluster_formation, [{discovery_retry_limit, 10}, {discovery_retry_interval, 100}]}", // the first waits so long for all
        ]
      : []),
  ];
  return `[{rabbit, [${terms.join(",\n  ")}]}].\n`;
}

/**
 * Erlang asks a daemon of its own for the ports of names, and would start one that outlives it. Here it is one of the folder's own,
 * which ends with the server: that holds the other end of a pipe. In a cluster another server's takes over within a second.
 */
const names = `trap 'kill "$epmd" 2> /dev/null; exit 0' TERM
(cat < alive > /dev/null; kill -TERM $$) &
while :; do
  "$1" -port "$ERL_EPMD_PORT" -address 127.0.0.1 > /dev/null 2>&1 & epmd=$!
  wait "$epmd"
  sleep 1
done
`;

/**
 * Read by the server's script before it becomes the server, and once more by the server, in a shell of its own. Of the plugins, all
 * off, it sees none: their 70 folders would be looked through for each of the 950 modules that a start loads, which is half of its
 * work. Only the server's own stands there, with what it knows of its configuration; the rest is found as libraries.
 */
const environment = `if [ -z "$OMNIBUS_NAMES" ]; then
  export OMNIBUS_NAMES=1
  epmd=$(command -v epmd || echo "$(dirname "$(readlink -f "$(command -v erl)")")/epmd")
  rm -f alive && mkfifo alive
  sh names.sh "$epmd" > /dev/null 2>&1 &
  exec 9> alive
  for each in "$RABBITMQ_HOME"/plugins/rabbit-3.*; do
    [ -d "$each" ] && mkdir -p plugins && ln -sfn "$each" plugins/ && export RABBITMQ_PLUGINS_DIR=./plugins
  done
  for each in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    "$epmd" -port "$ERL_EPMD_PORT" -names > /dev/null 2>&1 && break
    sleep 0.1
  done
fi
`;

function server(input: PlanInput<Variant>, at: number): ServerPlan {
  const { variant, id, host, servers } = input;
  const { folder = "", ports: [, distribution = 0] = [] } = servers[at] ?? {};
  const own = host === "127.0.0.1"; // and not inside a container, where nobody else has names
  const home = own ? "." : folder; // its scripts take no path with quotes in it
  return {
    args: [],
    files: {
      "advanced.config": configuration(input, at),
      "rabbitmq.conf": quietLog,
      enabled_plugins: "[].\n",
      ".erlang.cookie": createHash("sha256").update(`cookie of ${id}`).digest("hex"),
      ...(variant === "password" ? { "definitions.json": JSON.stringify(passwordDefinitions) } : {}),
      ...(own ? { "names.sh": names, "rabbitmq-env.conf": environment } : {}),
    },
    env: {
      HOME: ".", // and not the folder, which would stand among the arguments that everybody can see
      LANG: "C.UTF-8",
      RABBITMQ_NODENAME: nodeName(id, at),
      RABBITMQ_MNESIA_BASE: `${home}/data`,
      RABBITMQ_LOGS: "-",
      RABBITMQ_LOG_BASE: home,
      RABBITMQ_CONFIG_FILE: `${home}/rabbitmq.conf`,
      RABBITMQ_ADVANCED_CONFIG_FILE: `${home}/advanced.config`,
      RABBITMQ_ENABLED_PLUGINS_FILE: `${home}/enabled_plugins`,
      RABBITMQ_CONF_ENV_FILE: `${home}/rabbitmq-env.conf`,
      RABBITMQ_SCHEDULER_BIND_TYPE: "u", // its threads may change the processor, which another's keep busy
      RABBITMQ_ALLOW_INPUT: "true", // so that the script becomes the server, and the process that was started is its own
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: `-noinput${own ? " -kernel inet_dist_use_interface {127,0,0,1}" : ""}`,
      ...(own
        ? {
            RABBITMQ_DIST_PORT: String(distribution),
            ERL_EPMD_PORT: String(servers[0]?.ports[2] ?? 0),
            ERL_EPMD_ADDRESS: "127.0.0.1",
          }
        : {}),
    },
  };
}

/** Whom a server sees, by what it logged since it was started. */
function seenBy(log: string): ReadonlySet<string> {
  const seen = new Set<string>();
  for (const [, start, node = "", state] of log.matchAll(
    /(Starting RabbitMQ)|rabbit on node '?([^' ]+)'? (up|down)/g,
  )) {
    if (start !== undefined) seen.clear();
    else if (state === "up") seen.add(node);
    else seen.delete(node);
  }
  return seen;
}

/** They find each other by themselves. */
async function formCluster(folders: readonly string[], signal: AbortSignal): Promise<void> {
  const seesAll = (folder: string): boolean =>
    seenBy(readFileSync(join(folder, logName), "utf8")).size === folders.length - 1;
  while (!folders.every(seesAll)) await sleep(50, undefined, { signal });
}

/**
 * By its folder (`rabbitmq_server-3.10.8/sbin`): asked, the server starts, and rabbitmqctl leaves a daemon behind. Debian's script on
 * the path has none, and is refused so: it starts the server as another user, in that user's folder.
 */
function versionIn(path: string): string | undefined {
  return /rabbitmq(?:_server-|\/)(\d+\.\d+\.\d+)/.exec(realpathSync(path))?.[1];
}

export const rabbitmq: BrokerKind<Variant, keyof typeof releases> = {
  name: "rabbitmq",
  executable: "rabbitmq-server",
  programs: ["beam.smp", "epmd"],
  versionArgs: versionIn,
  minimum: "3.10.0",
  releases,
  variants,
  ports: (variant) => (variant === "cluster" ? [3, 2, 2] : [3]), // clients, other servers, names
  readyLine: /Server startup complete/,
  installers: () => [debianPackage("rabbitmq-server", "/usr/lib/rabbitmq/bin/rabbitmq-server")],
  plan: (input) => {
    const { variant, servers, certificates } = input;
    const folder = servers[0]?.folder ?? "";
    // It asks `df` for the room there, with the path in a shell's double quotes, and waits for ever.
    if (/["'$`\\]/.test(folder)) throw new TypeError(`RabbitMQ can't live in ${folder}: set OMNIBUS_BROKERS_DIR`);
    const access = variant === "password" ? `${login.user}:${login.password}@` : "";
    const scheme = serverPair(variant, certificates) === undefined ? "amqp" : "amqps";
    return {
      servers: servers.map((_, at) => server(input, at)),
      url: `${scheme}://${access}127.0.0.1:${servers[0]?.ports[0]}`,
      login: variant === "password" ? login : undefined,
      settle:
        variant === "cluster"
          ? (signal) =>
              formCluster(
                servers.map(({ folder }) => folder),
                signal,
              )
          : undefined,
    };
  },
};
