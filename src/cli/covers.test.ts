import { expect, it } from "vitest";
import { covers } from "./covers.ts";

it.each([
  [">", ">"],
  [">", "orders"],
  ["orders.>", "orders.>"],
  ["orders.>", "orders.*.placed"],
  ["orders.*", "orders.*"],
  ["orders.*", "orders.placed"],
  ["*.>", "*.*"],
])("%s covers %s", (outer, inner) => expect(covers(outer, inner)).toBe(true));

it.each([
  ["orders.>", ">"],
  ["orders.>", "orders"],
  ["orders.>", "*.placed"],
  ["orders.*", "orders.>"],
  ["orders.*", "orders.eu.placed"],
  ["orders.*.placed", "orders.eu"],
  ["orders.placed", "orders.*"],
  ["*.>", ">"],
])("%s does not cover %s", (outer, inner) => expect(covers(outer, inner)).toBe(false));
