import type { Headers, InMessage, OutMessage, Settlement } from "../../../src/driver.ts";

/** From a client. `on`: "connection", "admin", or the number of a consumption. */
export type Request =
  | { readonly beat: true }
  | {
      readonly call: number;
      readonly on: "connection" | "admin" | number;
      readonly method: string;
      readonly args: readonly unknown[];
    }
  | { readonly batch: readonly SentMessage[] };

export interface SentMessage extends Omit<OutMessage, "stored" | "failed" | "value"> {
  readonly number: number;
}

export interface Failure {
  readonly code: string;
  readonly retryable: boolean;
  readonly message: string;
}

export type Answer =
  | { readonly beat: true }
  | { readonly call: number; readonly value: unknown }
  | { readonly call: number; readonly failure: Failure }
  | { readonly stored: number; readonly position: string | undefined; readonly duplicate: boolean }
  | { readonly failed: number; readonly outcome: "no" | "unknown"; readonly failure: Failure }
  | { readonly sink: number; readonly method: string; readonly args: readonly unknown[] }
  | { readonly changed: true };

/** A message on its way to a client, who names it by its number. */
export interface Handed {
  readonly number: number;
  readonly fields: Omit<InMessage, "header" | "note" | "headers" | "value">;
  readonly headers: Headers;
  readonly notes: Headers;
}

/** `message` is a number. */
export type HandedSettlement = Omit<Settlement, "message"> & { readonly message: number };
