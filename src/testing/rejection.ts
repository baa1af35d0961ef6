import assert from "node:assert/strict";
import { type BusError, type BusErrorCode, isBusError } from "../errors.ts";
import { within } from "./until.ts";

/** The error of a promise that must reject with one of the codes, and soon. */
export async function rejection(promise: Promise<unknown>, ...codes: readonly BusErrorCode[]): Promise<BusError> {
  const outcome = await within(
    promise.then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    ),
    `a rejection with ${codes.join(" or ")}`,
  );
  if (!("error" in outcome)) assert.fail(`resolved, and should have been refused with ${codes.join(" or ")}`);
  const { error } = outcome;
  if (!isBusError(error)) throw new assert.AssertionError({ message: `no BusError: ${String(error)}`, actual: error });
  assert.ok(codes.includes(error.code), `${error.code} (${error.message}) instead of ${codes.join(" or ")}`);
  return error;
}

export function codeOf(error: unknown): string {
  return isBusError(error) ? error.code : String(error);
}
