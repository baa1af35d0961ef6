import { DriverError } from "../../internal/driver-error.ts";
import type { GroupDefinition } from "./definition-fold.ts";
import type { Definitions } from "./definitions.ts";
import type { Session } from "./session.ts";

const pastMs = 2_000;

/** Resolves when the past of a stream is copied: the partitions that have some. Rejects when that making of the group is over. */
export async function copied(
  definitions: Definitions,
  { group, id, stream }: { readonly group: string; readonly id: string; readonly stream: string },
  signal: AbortSignal,
): Promise<readonly number[]> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<readonly number[]>();
  const look = (name: string): void => {
    if (name !== group) return;
    const replay = definitions.replay(id, stream);
    if (replay?.copied === true) resolve(replay.history);
    else if (definitions.group(group).definition?.id !== id)
      reject(new DriverError("BUS_NOT_FOUND", `group (${group}): it was deleted or made again`));
  };
  const watch = definitions.listen({ replay: look, group: look });
  const abort = (): void => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  look(group);
  try {
    return await promise;
  } finally {
    watch[Symbol.dispose]();
    signal.removeEventListener("abort", abort);
  }
}

/** What is live waits for it: who has just subscribed does not see the short one. A long one is not waited for. */
export async function pastCopied(
  session: Session,
  definitions: Definitions,
  { spec, id, lanes }: GroupDefinition,
  signal: AbortSignal,
): Promise<void> {
  const streams = Object.entries(lanes).filter(([, { from }]) => from !== undefined);
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = session.clock.after(pastMs, resolve);
  const all = streams.map(([stream]) => copied(definitions, { group: spec.group, id, stream }, signal));
  try {
    await Promise.race([Promise.all(all), promise]);
  } finally {
    timer[Symbol.dispose]();
  }
}
