import { DriverError } from "./driver-error.ts";

/** Where something stands in a list by due time: `rest` tells it from others of that time. */
export interface DuePlace {
  readonly due: number;
  readonly rest: string;
}

export const duePlaceText = ({ due, rest }: { readonly due: number; readonly rest: string | number }): string =>
  `${due}/${rest}`;

/** Of what such a list gave out; before everything without. */
export function duePlaceOf(text: string | undefined): DuePlace {
  if (text === undefined) return { due: -1, rest: "" };
  const [, due, rest] = /^(\d{1,16}(?:\.\d+)?)\/(.+)$/s.exec(text) ?? [];
  if (due === undefined || rest === undefined) throw unknown(text);
  return { due: Number(due), rest };
}

/** The same where `rest` is a number. */
export function numberedPlaceOf(text: string | undefined): { readonly due: number; readonly number: number } {
  const { due, rest } = duePlaceOf(text);
  if (!/^\d{0,15}$/.test(rest)) throw unknown(text!);
  return { due, number: Number(rest) };
}

const unknown = (text: string): DriverError =>
  new DriverError("BUS_INVALID_OPTION", `"${text.slice(0, 100)}" is no cursor of a list of scheduled events`);
