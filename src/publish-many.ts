import type { Core } from "./core.ts";
import { PublishError } from "./errors.ts";
import type { Outgoing } from "./event.ts";
import type { Outbound } from "./outbound.ts";
import { invalidOption } from "./option-check.ts";
import type { Publisher } from "./publisher.ts";
import type { PublishOutcome } from "./receipt.ts";

/** Publishes each item, no more at once than may be in flight, and gives one outcome for each, in order. */
export async function publishAll(
  items: Iterable<Outgoing> | AsyncIterable<Outgoing>,
  signal: AbortSignal | undefined,
  publisher: Publisher,
  outbound: Outbound,
  core: Core,
): Promise<readonly PublishOutcome[]> {
  const { maxInFlight } = core.options.publishing;
  const outcomes: PublishOutcome[] = [];
  let pending = 0;
  let fewer: () => void = () => undefined;
  const ended = (index: number, outcome: PublishOutcome): void => {
    outcomes[index] = outcome;
    pending -= 1;
    fewer();
  };
  const one = (item: Outgoing, index: number): void => {
    const id = item.options?.id ?? core.ids.next();
    pending += 1;
    publisher.publishItem({ ...item, options: { ...item.options, id, signal: item.options?.signal ?? signal } }).then(
      (receipt) => ended(index, { ok: true, receipt }),
      (error: Error) => ended(index, { ok: false, id: error instanceof PublishError ? error.id : id, error }),
    );
  };
  const below = async (limit: number): Promise<void> => {
    while (pending >= limit) await new Promise<void>((resolve) => (fewer = resolve));
  };
  let index = 0;
  for await (const item of checked(items)) {
    if (signal?.aborted === true && Symbol.asyncIterator in items) break; // a source that may never end is left alone
    if (typeof item !== "object" || item === null || typeof item.topic !== "string")
      throw invalidOption("publishMany takes items made by a definition's `of` or by `outgoing`");
    one(item, index++);
    await outbound.room(); // bytes count there
    await below(maxInFlight);
  }
  await below(1);
  return outcomes;
}

function checked(items: Iterable<Outgoing> | AsyncIterable<Outgoing>): Iterable<Outgoing> | AsyncIterable<Outgoing> {
  if (typeof items === "object" && items !== null && (Symbol.iterator in items || Symbol.asyncIterator in items))
    return items;
  throw invalidOption(
    "publishMany takes an iterable, or an async one, of items made by a definition's `of` or by `outgoing`",
  );
}
