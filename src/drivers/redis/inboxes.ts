import type { Clock } from "../../clock.ts";

const form = /^([0-9a-f]{32})\.([0-9a-f]{32})$/;

/** Where answers to one requester go: its process, and 128 bits of chance that nobody guesses. */
export function newAddress(process: string, clock: Clock): string {
  let secret = "";
  for (let word = 0; word < 4; word += 1)
    secret += Math.floor(clock.random() * 0x1_0000_0000)
      .toString(16)
      .padStart(8, "0");
  return `${process}.${secret}`;
}

/** The process of an address; undefined for what is none, which a requester may well have written. */
export function processOf(address: string): string | undefined {
  return form.exec(address)?.[1];
}
