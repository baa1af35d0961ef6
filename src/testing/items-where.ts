import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { Item } from "./lab.ts";

/** A schema that takes the items whose number passes, and says `n` of the others. */
export function itemsWhere(passes: (n: number) => boolean, message: string): StandardSchemaV1<Item> {
  return {
    "~standard": {
      version: 1,
      vendor: "omnibus-testing",
      validate: (value: unknown) =>
        passes((value as Item).n) ? { value: value as Item } : { issues: [{ message, path: ["n"] }] },
    },
  };
}
