import { createHash } from "node:crypto";
import { existsSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, isAbsolute, join } from "node:path";
import type { BrokerKind, ServerPlan } from "./broker-kind.ts";
import { command } from "./command.ts";
import { cacheFolder } from "./folders.ts";
import { intoCache } from "./installer.ts";
import { withLock } from "./lock.ts";
import { asOneOf } from "./unprivileged.ts";

/** Unless it was done before. The folder is the server's own, `executable` the broker's. */
export async function prepareServer(
  { name: broker, unprivileged }: BrokerKind,
  { prepare }: ServerPlan,
  folder: string,
  executable: string,
): Promise<void> {
  if (prepare === undefined || existsSync(join(folder, prepare.makes))) return;
  const run = async (name: string, ...args: readonly string[]): Promise<void> => {
    const path = isAbsolute(name) ? name : join(dirname(realpathSync(executable)), name);
    const [program, words] = asOneOf(unprivileged, path, args);
    const { ok, output } = await command(program, words);
    if (!ok) throw new Error(`${broker}: ${name} failed:\n${output}`);
  };
  const [name = "", ...args] = prepare.command;
  if (prepare.isTheSame !== true) return run(name, ...args);
  const program = realpathSync(executable);
  const said = [program, statSync(program).mtimeMs, name, ...args.map((arg) => arg.replace(folder, ""))];
  const key = createHash("md5").update(said.join("\0")).digest("hex").slice(0, 12);
  const made = dirname(prepare.makes);
  const kept = join(cacheFolder(), `${broker}-made-${key}`, basename(made));
  if (existsSync(kept)) return run("/bin/cp", "-R", kept, folder);
  await run(name, ...args);
  const keep = async (): Promise<void> => {
    if (existsSync(kept)) return;
    await intoCache(kept, async (unfinished) => {
      await run("/bin/cp", "-R", join(folder, made), unfinished);
      return { ok: true, output: "" };
    });
  };
  await withLock(join(cacheFolder(), "lock"), keep).catch(() => {}); // a cache that can't be written only costs time
}
