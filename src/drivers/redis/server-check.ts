import { DriverError } from "../../internal/driver-error.ts";
import type { Link, Reply } from "./link.ts";
import type { Session } from "./session.ts";

const oldest = 7;

/** Written to by nobody but its primary. */
export async function checkRole(link: Link): Promise<void> {
  const answer = await tolerated(link, ["ROLE"]);
  const [role] = (answer ?? []) as readonly Reply[];
  if (String(role) === "slave")
    throw new DriverError("BUS_CONNECTION", "redis: the server is a replica; the url must name the primary", {
      retryable: true,
    });
}

/** Refuses a server that is too old; warns of one that may lose or evict. What we may not ask, we say so. */
export async function checkServer({ context }: Pick<Session, "context">, link: Link): Promise<void> {
  const info = await infoOf(link);
  const version = info.get("redis_version") ?? "";
  if (version !== "" && Number(version.split(".")[0]) < oldest)
    throw new DriverError(
      "BUS_UNSUPPORTED",
      `redis: the server has version ${version}; at least ${oldest}.0 is needed`,
    );
  for (const warning of await warningsOf(link)) context.warn(warning);
}

/** What the server may lose or evict, in sentences for the operator. */
export async function warningsOf(link: Link): Promise<readonly string[]> {
  const settings = await settingsOf(link);
  const info = await infoOf(link);
  const policy = settings?.get("maxmemory-policy") ?? info.get("maxmemory_policy");
  const append = settings?.get("appendonly") ?? (info.get("aof_enabled") === "1" ? "yes" : "no");
  const warnings: string[] = [];
  if (settings === undefined && info.size === 0)
    return ["the user may neither read the configuration nor INFO: whether the server keeps what it stores is unknown"];
  if (policy !== undefined && policy !== "noeviction" && !policy.startsWith("volatile-"))
    warnings.push(`maxmemory-policy is ${policy}: a full server evicts events; set it to noeviction`);
  if (policy?.startsWith("volatile-") === true)
    warnings.push(`maxmemory-policy is ${policy}: a full server forgets which events it knows; set it to noeviction`);
  if (append === "no")
    warnings.push("appendonly is no: a crash of the server loses what came after the last snapshot; set it to yes");
  else if (settings?.get("appendfsync") === "no")
    warnings.push(
      "appendfsync is no: a crash of the machine may lose more than a second of events; set it to everysec or always",
    );
  return warnings;
}

/** Whether what it stores can survive its end; unknown counts as yes. */
export async function isDurable(link: Link): Promise<boolean> {
  const settings = await settingsOf(link);
  if (settings === undefined) return (await infoOf(link)).get("aof_enabled") !== "0";
  return settings.get("appendonly") !== "no" || (settings.get("save") ?? "") !== "";
}

/** Of one argument; a longer one costs the connection. Undefined: we may not ask. */
export async function longestArgument(link: Link): Promise<number | undefined> {
  const answer = await tolerated(link, ["CONFIG", "GET", "proto-max-bulk-len"]);
  const bytes = Number((answer as readonly Reply[] | undefined)?.[1]);
  return Number.isFinite(bytes) && bytes > 0 ? bytes : undefined;
}

export async function infoOf(link: Link): Promise<ReadonlyMap<string, string>> {
  const answer = await tolerated(link, ["INFO"]);
  return new Map(
    String(answer ?? "")
      .split("\r\n")
      .map((line) => line.split(":", 2) as [string, string])
      .filter((pair) => pair.length === 2),
  );
}

async function settingsOf(link: Link): Promise<ReadonlyMap<string, string> | undefined> {
  const answer = await tolerated(link, ["CONFIG", "GET", "appendonly", "appendfsync", "maxmemory-policy", "save"]);
  if (answer === undefined) return undefined;
  const words = (answer as readonly Reply[]).map(String);
  return new Map(words.flatMap((word, at) => (at % 2 === 0 ? [[word, words[at + 1] ?? ""] as const] : [])));
}

/** Undefined: the user may not ask. */
async function tolerated(link: Link, args: readonly string[]): Promise<Reply | undefined> {
  try {
    return await link.command(args);
  } catch (error) {
    if (/^(?:NOPERM|ERR)/.test((error as Error).message)) return undefined;
    throw error;
  }
}
