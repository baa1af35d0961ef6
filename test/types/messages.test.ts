import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

/** What users see: the first line of the compiler's message for the commonest mistakes, and the word that it stands at. */
const mistakes: readonly (readonly [mistake: string, code: string, at: string, message: string])[] = [
  [
    "a topic template with a misspelt field",
    'defineEvent("x", { schema: Order, topic: "orders.{regoin}.placed" });',
    "topic",
    `Type '"orders.{regoin}.placed"' is not assignable to type '"unknown field in the topic: regoin"'.`,
  ],
  [
    "a topic template with a field that is no token",
    'defineEvent("x", { schema: Order, topic: "orders.{lines}" });',
    "topic",
    `Type '"orders.{lines}"' is not assignable to type '"unknown field in the topic: lines"'.`,
  ],
  [
    "a key of a field that is not there",
    'defineEvent("x", { schema: Order, key: (order) => order.orderid });',
    "orderid",
    `Property 'orderid' does not exist on type 'OrderData'. Did you mean 'orderId'?`,
  ],
  [
    "a misspelt option of a definition",
    'defineEvent("x", { schema: Order, keys: () => "x" });',
    "keys",
    `Object literal may only specify known properties, but 'keys' does not exist in type 'DefineEventOptions<StandardSchemaV1<OrderData, OrderData>, "x", 1>'. Did you mean to write 'key'?`,
  ],
  [
    "a definition without a schema",
    'defineEvent("x", { topic: "x" });',
    "{",
    `Property 'schema' is missing in type '{ topic: "x"; }' but required in type 'DefineEventOptions<StandardSchemaV1<unknown, unknown>, "x", 1>'.`,
  ],
  [
    "a payload field of the wrong type",
    'await bus.publish(OrderPlaced, { orderId: 1, region: "eu", total: 1, lines: [] });',
    "orderId",
    `Type 'number' is not assignable to type 'string'.`,
  ],
  [
    "a payload field outside its union",
    'await bus.publish(OrderPlaced, { orderId: "o", region: "mars", total: 1, lines: [] });',
    "region",
    `Type '"mars"' is not assignable to type '"eu" | "us"'.`,
  ],
  [
    "a payload that lacks a field",
    'await bus.publish(OrderPlaced, { orderId: "o", region: "eu", lines: [] });',
    "{",
    `Property 'total' is missing in type '{ orderId: string; region: "eu"; lines: never[]; }' but required in type 'OrderData'.`,
  ],
  [
    "a payload with a misspelt field",
    'await bus.publish(OrderPlaced, { orderId: "o", region: "eu", totl: 1, lines: [] });',
    "totl",
    `Object literal may only specify known properties, but 'totl' does not exist in type 'OrderData'. Did you mean to write 'total'?`,
  ],
  [
    "an item of a batch that lacks fields",
    'OrderPlaced.of({ orderId: "o" });',
    "{",
    `Type '{ orderId: string; }' is missing the following properties from type 'OrderData': region, total, lines`,
  ],
  [
    "an item of a batch that nobody checked",
    'await bus.publishMany([{ topic: "orders", data: {} }]);',
    "[",
    `Argument of type '{ topic: string; data: {}; }[]' is not assignable to parameter of type 'AsyncIterable<Outgoing> | Iterable<Outgoing>'.`,
  ],
  [
    "a misspelt option of a publish",
    "await bus.publish(OrderPlaced, order, { delayms: 3 });",
    "delayms",
    `Object literal may only specify known properties, but 'delayms' does not exist in type 'PublishOptions'. Did you mean to write 'delayMs'?`,
  ],
  [
    "a topic where a definition belongs",
    'await bus.publish("orders.placed", order);',
    '"orders.placed"',
    `Argument of type 'string' is not assignable to parameter of type 'EventDefinition<string, any, any, number>'.`,
  ],
  [
    "a handler that reads a misspelt field",
    "await bus.subscribe(OrderPlaced, (event) => event.data.totl);",
    "totl",
    `Property 'totl' does not exist on type 'OrderData'. Did you mean 'total'?`,
  ],
  [
    "a misspelt option of a subscription",
    'await bus.subscribe(OrderPlaced, () => undefined, { groop: "x" });',
    "groop",
    `Object literal may only specify known properties, but 'groop' does not exist in type 'SubscribeOptions'. Did you mean to write 'group'?`,
  ],
  [
    "a wrong question",
    "await bus.request(CheckStock, { sku: 1 });",
    "sku",
    `Type 'number' is not assignable to type 'string'.`,
  ],
  [
    "a wrong answer",
    'await bus.respond(CheckStock, () => ({ left: "many" }));',
    "left",
    `Type 'string' is not assignable to type 'number'.`,
  ],
  [
    "an answer read wrongly",
    '(await bus.request(CheckStock, { sku: "a" })).lft;',
    "lft",
    `Property 'lft' does not exist on type '{ left: number; }'. Did you mean 'left'?`,
  ],
];
const prelude = `
import { defineEvent, typed } from "../../src/define-event.ts";
import { defineRequest } from "../../src/define-request.ts";
import type { Bus } from "../../src/bus.ts";
declare const bus: Bus;
interface OrderData { orderId: string; region: "eu" | "us"; total: number; lines: string[] }
declare const order: OrderData;
const Order = typed<OrderData>();
const OrderPlaced = defineEvent("orders.placed", { schema: Order, topic: "orders.{region}.placed", key: (each) => each.orderId });
const CheckStock = defineRequest("stock.check", { request: typed<{ sku: string }>(), response: typed<{ left: number }>() });
`;

describe("the compiler", () => {
  const lines = [...prelude.split("\n"), ...mistakes.map(([, code]) => code)];
  const said = new Map<string, string>();
  let folder = "";

  beforeAll(() => {
    mkdirSync(".tmp", { recursive: true });
    folder = mkdtempSync(join(".tmp", "types-"));
    writeFileSync(join(folder, "mistakes.ts"), lines.join("\n"));
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ extends: "../../tsconfig.json", include: ["*.ts"] }));
    const { stdout } = spawnSync("node_modules/.bin/tsc", ["-p", folder, "--pretty", "false"], { encoding: "utf8" });
    for (const [, line, column, message] of stdout.matchAll(/mistakes\.ts\((\d+),(\d+)\): error TS\d+: (.*)$/gm)) {
      const code = lines[Number(line) - 1]!;
      const at = /^(?:"[^"]*"|\w+|.)/.exec(code.slice(Number(column) - 1))?.[0];
      said.set(code, `${said.has(code) ? `${said.get(code)}\n` : ""}${at}: ${message}`);
    }
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("finds nothing else to say", () => {
    expect([...said.keys()].filter((code) => !mistakes.some(([, mistake]) => mistake === code))).toEqual([]);
  });

  it.each(mistakes)("names the place of %s", (_, code, at, message) => {
    expect(said.get(code)).toBe(`${at}: ${message}`);
  });
});
