import type { Clock } from "../../clock.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { classify } from "./errors.ts";
import type { Host, Link } from "./link.ts";

const mostAsked = 3;
const longestMs = 2_000;
const textOf = ({ host, port }: Host): string => `${host}:${port}`;

/**
 * Certificates and routes are good for the host of the url, and the brokers may name others to go on with. Resolves when one of those
 * can be connected to; rejects by what is wrong with them, naming them.
 */
export async function reachAdvertised(
  given: Host,
  brokers: readonly Host[],
  open: (to: Host, until: AbortSignal) => Promise<Link>,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  if (brokers.length === 0 || brokers.some((each) => textOf(each) === textOf(given))) return;
  const asked = brokers.slice(0, mostAsked);
  const over = new AbortController();
  const until = AbortSignal.any([signal, over.signal]);
  const late = new DriverError("BUS_TIMEOUT", `kafka: no connection within ${longestMs} ms`, { retryable: true });
  const timer = clock.after(longestMs, () => over.abort(late));
  try {
    await Promise.any(asked.map(async (each) => (await open(each, until)).destroy()));
  } catch (error) {
    signal.throwIfAborted();
    const reasons = (error as AggregateError).errors as readonly unknown[];
    const cause = reasons.find((each) => !classify(each).retryable) ?? reasons[0];
    const { code, retryable } = classify(cause);
    const names = asked.map(textOf).join(", ");
    const message = `kafka: ${textOf(given)} answers, and names ${names} to go on with (advertised.listeners), where nobody can be reached`;
    throw new DriverError(code, message, { retryable, cause });
  } finally {
    timer[Symbol.dispose]();
    over.abort();
  }
}
