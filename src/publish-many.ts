import type { Core } from "./core.ts";
import { isBusError, PublishError, PublishManyError } from "./errors.ts";
import type { Outgoing } from "./event.ts";
import type { Outbound } from "./outbound.ts";
import { invalidOption } from "./option-check.ts";
import type { Publisher } from "./publisher.ts";
import type { PublishOutcome, Receipt } from "./receipt.ts";

/**
 * Publishes each item, no more at once than may be in flight, and gives one outcome for each, in order; also for what is no
 * item. When the source throws it waits for what is under way and rejects with PublishManyError, which has the outcomes so far.
 */
export async function publishAll(
  items: Iterable<Outgoing> | AsyncIterable<Outgoing>,
  signal: AbortSignal | undefined,
  publisher: Publisher,
  outbound: Outbound,
  core: Core,
): Promise<readonly PublishOutcome[]> {
  if (!iterable(items)) throw invalidOption(`publishMany takes an iterable, or an async one, of ${wanted}`);
  const { maxInFlight } = core.options.publishing;
  const outcomes: PublishOutcome[] = [];
  let pending = 0;
  let fewer: () => void = () => undefined;
  let closed = false;
  const ended = (index: number, outcome: PublishOutcome): void => {
    outcomes[index] = outcome;
    if (!outcome.ok && isBusError(outcome.error) && outcome.error.code === "BUS_CLOSED") closed = true;
    pending -= 1;
    fewer();
  };
  const publish = (item: Outgoing, id: string): Promise<Receipt> =>
    publisher.publishItem({ ...item, options: { ...item.options, id, signal: item.options?.signal ?? signal } });
  const one = (item: Outgoing, index: number): void => {
    pending += 1;
    let id: string | undefined;
    try {
      if (typeof item?.topic !== "string") throw invalidOption(`publishMany takes ${wanted}`);
      id = item.options?.id ?? core.ids.next();
      const given = id;
      publish(item, given).then(
        (receipt) => ended(index, { ok: true, receipt }),
        (error: Error) => ended(index, { ok: false, id: error instanceof PublishError ? error.id : given, error }),
      );
    } catch (error) {
      ended(index, { ok: false, id: id ?? core.ids.next(), error: error as Error });
    }
  };
  const below = async (limit: number): Promise<void> => {
    while (pending >= limit) await new Promise<void>((resolve) => (fewer = resolve));
  };
  let index = 0;
  try {
    const source = Symbol.asyncIterator in items ? untilOver(items, signal, outbound) : items;
    for await (const item of source) {
      one(item, index++);
      await outbound.room(); // bytes count there
      await below(maxInFlight);
      if ((closed || signal?.aborted === true) && !isCollection(items)) break; // a source that may never end is left alone
    }
  } catch (cause) {
    await below(1);
    throw new PublishManyError(`publishMany: its source failed after ${index} items`, outcomes, { cause });
  }
  await below(1);
  return outcomes;
}

const wanted = "items made by a definition's `of` or by `outgoing`";
const iterable = (items: unknown): boolean =>
  typeof items === "object" && items !== null && (Symbol.iterator in items || Symbol.asyncIterator in items);

/** All of it is there already, so each item gets its outcome whatever happens. */
const isCollection = (items: unknown): boolean => Array.isArray(items) || items instanceof Set || items instanceof Map;

/** Ends when the signal aborts or the bus is closed, also while the source lets it wait; what was taken is handed on. */
async function* untilOver<Item>(
  items: AsyncIterable<Item>,
  signal: AbortSignal | undefined,
  outbound: Outbound,
): AsyncGenerator<Item> {
  const iterator = items[Symbol.asyncIterator]();
  let stopped = signal?.aborted === true;
  let wake: () => void = () => undefined;
  const stop = (): void => {
    stopped = true;
    wake();
  };
  signal?.addEventListener("abort", stop, { once: true });
  const forget = outbound.onClose(stop);
  let over = false;
  try {
    while (!stopped) {
      over = true; // a source that throws has ended
      const next = await new Promise<IteratorResult<Item> | undefined>((resolve, reject) => {
        wake = () => resolve(undefined);
        Promise.resolve(iterator.next()).then(resolve, reject);
      });
      if (next?.done === true) return;
      over = false;
      if (next !== undefined) yield next.value;
    }
  } finally {
    signal?.removeEventListener("abort", stop);
    forget();
    // not waited for: what lets us wait for an item would let us wait for its end; how it ends is its owner's matter
    if (!over) Promise.resolve(iterator.return?.()).catch(() => undefined);
  }
}
