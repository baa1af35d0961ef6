import { spawnSync } from "node:child_process";

const numberOf = (which: "-u" | "-g", user: string): string | undefined => {
  const { status, stdout } = spawnSync("id", [which, user], { encoding: "utf8" });
  return status === 0 ? stdout.trim() : undefined;
};

const known = new Map<string, readonly string[] | undefined>();

/** What to put before a command of root; undefined: it can't be done here. */
function prefix(users: readonly string[]): readonly string[] | undefined {
  if (process.getuid?.() !== 0) return [];
  const key = users.join(" ");
  if (!known.has(key)) known.set(key, find(users));
  return known.get(key);
}

/** With the one right to go where only root may, since its files are in root's folders. */
function find(users: readonly string[]): readonly string[] | undefined {
  const user = users.find((each) => numberOf("-u", each) !== undefined);
  if (user === undefined) return undefined;
  const may = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"];
  const who = [`--reuid=${numberOf("-u", user)}`, `--regid=${numberOf("-g", user)}`, "--clear-groups"];
  const words = ["setpriv", ...who, ...may];
  return spawnSync("setpriv", [...words.slice(1), "true"]).status === 0 ? words : undefined;
}

/** Whether what refuses to run as root can be run: as we are, or as the first of these users that is there. */
export const canRunAs = (users: readonly string[] | undefined): boolean =>
  users === undefined || prefix(users) !== undefined;

/** A command and its arguments, as root's are run by one of these users; as they are where none are named. */
export function asOneOf(
  users: readonly string[] | undefined,
  executable: string,
  args: readonly string[],
): readonly [executable: string, args: readonly string[]] {
  const [first = executable, ...words] = [...(users === undefined ? [] : (prefix(users) ?? [])), executable, ...args];
  return [first, words];
}
