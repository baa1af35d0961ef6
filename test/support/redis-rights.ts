import { readFileSync } from "node:fs";

/** The rules of `ACL SETUSER` as docs/redis.md names them, for another prefix; the user's name is not among them. */
export function documentedRules(prefix: string): readonly string[] {
  const [line = ""] = /redis-cli ACL SETUSER[^`]*/.exec(readFileSync("docs/redis.md", "utf8")) ?? [];
  const words = line
    .replaceAll("\\\n", " ")
    .replaceAll("'", "")
    .replace(/omnibus/g, prefix)
    .split(/\s+/);
  return words.filter((word) => word !== "").slice(4);
}

interface Commands {
  sendCommand(args: readonly string[]): Promise<unknown>;
}

/** What a user asked for and may not, as the server's own log has it: also what a script of ours went on without. */
export async function refusedTo(client: Commands, username: string): Promise<readonly string[]> {
  const log = (await client.sendCommand(["ACL", "LOG", "128"])) as readonly (readonly unknown[])[];
  const rows = log.map(
    (row) => new Map(Array.from({ length: row.length / 2 }, (_, at) => [String(row[at * 2]), String(row[at * 2 + 1])])),
  );
  return [
    ...new Set(rows.filter((row) => row.get("username") === username).map((row) => row.get("object")!)),
  ].toSorted();
}
