import type { Core } from "./core.ts";
import { PublishError } from "./errors.ts";
import type { Outgoing } from "./event.ts";
import type { Outbound } from "./outbound.ts";
import { invalidOption } from "./option-check.ts";
import type { Publisher } from "./publisher.ts";
import type { PublishOutcome } from "./receipt.ts";

/** Publishes each item, no more at once than may be in flight, and gives one outcome for each, in order. */
export async function publishAll(items: Iterable<Outgoing> | AsyncIterable<Outgoing>, signal: AbortSignal | undefined, publisher: Publisher, outbound: Outbound, core: Core): Promise<readonly PublishOutcome[]> {
  const outcomes: PublishOutcome[] = [];
  const pending: Promise<unknown>[] = [];
  const one = (item: Outgoing, index: number): void => {
    const id = item.options?.id ?? core.ids.next();
    const published = publisher.publishItem({ ...item, options: { ...item.options, id, signal: item.options?.signal ?? signal } });
    pending.push(
      published.then(
        (receipt) => void (outcomes[index] = { ok: true, receipt }),
        (error: Error) => void (outcomes[index] = { ok: false, id: error instanceof PublishError ? error.id : id, error }),
      ),
    );
  };
  let index = 0;
  for await (const item of items) {
    if (signal?.aborted === true && Symbol.asyncIterator in items) break; // a source that may never end is left alone
    if (typeof item !== "object" || item === null || typeof item.topic !== "string") throw invalidOption("publishMany takes items made by a definition's `of` or by `outgoing`");
    one(item, index++);
    await outbound.room();
  }
  await Promise.all(pending);
  return outcomes;
}
