import { type Bus, BusError } from "../index.ts";
import { covers } from "./covers.ts";

/** What a program that names no streams makes, too. */
const everything = { name: "events", topics: [">"] };
const shown = 5;

/** On a bus that is new: makes the stream for every topic. One that has streams is somebody's, and stays as it is. */
export async function makeFirstStream(bus: Bus): Promise<void> {
  if ((await bus.streams.list()).length === 0) await bus.streams.ensure(everything);
}

/** Throws, naming the streams that there are, when none captures the topic; with `create` it makes one that does. */
export async function refuseUncaptured(bus: Bus, topic: string, create: boolean): Promise<void> {
  const streams = await bus.streams.list();
  if (streams.some(({ topics }) => topics.some((pattern) => covers(pattern, topic)))) return;
  if (create) {
    await bus.streams.ensure(everything);
    return;
  }
  const named = streams.slice(0, shown).map(({ name, topics }) => `${name} (${topics.join(" ")})`);
  const more = streams.length > shown ? ` and ${streams.length - shown} more` : "";
  throw new BusError(
    "BUS_NOT_FOUND",
    `no stream of this bus captures "${topic}"; there are ${named.join(", ")}${more}. --create makes the stream "events", for every topic that no other one captures`,
  );
}
