import type { StartAt } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { replyWord } from "./errors.ts";
import { idOfTime } from "./id.ts";
import type { Arg, Reply } from "./link.ts";
import { numberOf, textOf, textsOf } from "./reply.ts";
import type { Script } from "./script.ts";
import { resetDoneScript, resetPartScript, resetScript } from "./scripts/reset.ts";
import type { Session } from "./session.ts";

/** While it lasts a mark stands that says where to, and nobody can join: whoever finds the mark of one who fell finishes it. */
export async function resetGroup(session: Session, group: string, to: StartAt): Promise<void> {
  checkStart(to);
  const mark = JSON.stringify(to);
  const refs = textsOf(await runFor(session, group, resetScript, [mark]));
  for (const ref of refs) {
    const start = startOf(to, session.keys.partitionOf(ref));
    let more = 1;
    while (more === 1) more = numberOf(await runFor(session, group, resetPartScript, [mark, ref, start]));
  }
  await runFor(session, group, resetDoneScript, [mark]);
}

/** To be called when the group was found with a mark. */
export async function finishReset(session: Session, group: string): Promise<void> {
  const mark = await session.command(["HGET", session.keys.key("g", session.keys.group(group)), "reset"]);
  if (mark !== null) await resetGroup(session, group, JSON.parse(textOf(mark)) as StartAt);
}

/** A script about a group, whose answers get names. */
export async function runFor(session: Session, group: string, script: Script, args: readonly Arg[]): Promise<Reply> {
  try {
    return await session.run(script, [session.keys.group(group), ...args]);
  } catch (error) {
    const word = replyWord(error);
    if (word === "GONE" && (error as Error).message.startsWith("GONE group"))
      throw new DriverError("BUS_NOT_FOUND", `redis: there is no group "${group}"`);
    if (word === "CONFLICT")
      throw new DriverError("BUS_CONFLICT", `redis: group "${group}" has active members, or somebody else resets it`);
    throw error;
  }
}

function checkStart(to: StartAt): void {
  for (const [partition, position] of Object.entries("positions" in to ? to.positions : {}))
    if (!/^\d{1,20}-\d{1,20}$/.test(position))
      throw new DriverError("BUS_INVALID_OPTION", `redis: position (${partition}): not the id of an entry`);
}

function startOf(to: StartAt, partition: string): string {
  if ("at" in to) return to.at === "oldest" ? "0" : "$";
  if ("time" in to) return idOfTime(to.time);
  return to.positions[partition] ?? "0";
}
