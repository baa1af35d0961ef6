import type { Delays } from "./delays.ts";
import type { Groups } from "./coordinator.ts";
import type { Letters } from "./letters.ts";
import type { Notes } from "./notes.ts";
import type { Queues } from "./queues.ts";
import type { Session } from "./session.ts";
import type { Streams } from "./streams.ts";

/** The parts of a connection that others of its parts need. */
export interface Shared {
  readonly session: Session;
  readonly streams: Streams;
  readonly queues: Queues;
  readonly groups: Groups;
  readonly delays: Delays;
  readonly letters: Letters;
  readonly notes: Notes;
}
