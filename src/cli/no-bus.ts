import { type Bus, BusError, isBusError } from "../index.ts";

/** For commands that only look: throws when there is nothing to look at, in the words of the command line. */
export async function refuseNothing(bus: Bus, url: string, prefix: string | undefined): Promise<void> {
  if ((await bus.streams.list()).length > 0) return;
  const cause = await reason(bus);
  const place = /^sqlite:/iu.test(url) ? "in this file" : "at this url";
  const named = prefix === undefined ? "" : ` with the prefix "${prefix}"`;
  const older = /has (layout \d+, this version needs \d+)/u.exec(cause?.message ?? "")?.[1];
  throw new BusError(
    "BUS_NOT_FOUND",
    older === undefined
      ? `there is no bus${named} ${place} yet: publish to it, or let a program connect to it, and there is one`
      : `the bus${named} ${place} is of an older version (${older}): publish to it, or let a program of this version connect to it, and it is brought up to date`,
    cause === undefined ? {} : { cause },
  );
}

/** Why nothing is listed; undefined: the bus is there, without any stream. */
async function reason(bus: Bus): Promise<Error | undefined> {
  try {
    await bus.groups.list();
    return undefined;
  } catch (error) {
    if (isBusError(error) && error.code === "BUS_NOT_FOUND") return error;
    throw error;
  }
}
