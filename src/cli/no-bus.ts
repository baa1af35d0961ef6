import { type Bus, BusError, isBusError } from "../index.ts";

/** For commands that only look: throws when there is nothing to look at, in the words of the command line. */
export async function refuseNothing(bus: Bus, url: string, prefix: string | undefined): Promise<void> {
  if ((await bus.streams.list()).length > 0) return;
  const cause = await reason(bus);
  const place = placeOf(url);
  const named = nameOf(prefix);
  const older = /has (layout \d+, this version needs \d+)/u.exec(cause?.message ?? "")?.[1];
  throw new BusError(
    "BUS_NOT_FOUND",
    older === undefined
      ? `there is no bus${named} ${place} yet: publish to it, or let a program connect to it, and there is one`
      : `the bus${named} ${place} is of an older version (${older}): publish to it, or let a program of this version connect to it, and it is brought up to date`,
    cause === undefined ? {} : { cause },
  );
}

/** Brokers whose bus is missing, or not all there, say so when they are connected to: with the commands that make it. */
export function whereNothingIs(error: unknown, url: string, prefix: string | undefined): unknown {
  if (!isBusError(error) || error.code !== "BUS_NOT_FOUND") return error;
  return new BusError(
    "BUS_NOT_FOUND",
    `there is no bus${nameOf(prefix)} ${placeOf(url)} yet, or not all of it (--verbose names what is missing): publish to it, or let a program connect to it, and there is one`,
    { cause: error },
  );
}

const placeOf = (url: string): string => (/^sqlite:/iu.test(url) ? "in this file" : "at this url");
const nameOf = (prefix: string | undefined): string => (prefix === undefined ? "" : ` with the prefix "${prefix}"`);

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
