import type { Clock } from "../../clock.ts";

const removalMs = 250;

/**
 * The server removes the files of a deleted stream behind its answer (nats-server since 2.10.5). Whoever makes one of its name again
 * waits: made at once it may lose its own files, and then refuses every write until it is deleted once more.
 */
export const filesRemoved = (clock: Clock): Promise<void> =>
  new Promise((resolve) => void clock.after(removalMs, resolve));
