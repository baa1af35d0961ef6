import { expect, it } from "vitest";
import { type More, readHeaders, recordHeaders } from "./headers.ts";
import type { FetchedRecord } from "./record-batch.ts";
import type { Field } from "./record-encoder.ts";

/** As it is stored and read. */
function recordOf(headers: readonly Field[]): FetchedRecord {
  const bytes = headers.map((field) => Buffer.from(field as string));
  const pairs = bytes.flatMap((name, at) => (at % 2 === 0 ? [[name, bytes[at + 1]!]] : []));
  return { headers: pairs } as unknown as FetchedRecord;
}
const withMore = (json: string): FetchedRecord => recordOf(["omnibus-topic", "a.b", "omnibus", json]);

it("reads what it wrote", () => {
  const more: More = {
    reply: "r",
    expires: 1,
    due: 2,
    target: ["t", 3],
    attempts: 4,
    deliveries: 5,
    notes: [["name", "value"]],
    by: ["m"],
    here: { process: "p", seats: [] },
  };
  const read = readHeaders(recordOf(recordHeaders("a.b", more, [["own", "text"]])));
  expect([read.topic, read.more, read.headers()]).toEqual(["a.b", more, [["own", "text"]]]);
});

it("takes nothing of another shape from whoever may write to the topic", () => {
  for (const json of ["null", "7", '"x"', "[]", "[1]", "{", "", "true"])
    expect(readHeaders(withMore(json))).toMatchObject({ topic: "a.b", more: {} });
  const forged = {
    reply: 5,
    expires: "x",
    due: "soon",
    target: 5,
    attempts: null,
    deliveries: {},
    notes: 5,
    by: "m",
    letter: 5,
    here: [],
    other: 1,
  };
  expect(readHeaders(withMore(JSON.stringify(forged))).more).toEqual({});
  for (const target of [[], ["t"], ["t", -1], ["t", 1.5], [1, 1]])
    expect(readHeaders(withMore(JSON.stringify({ target }))).more).toEqual({});
  for (const notes of [[5], [["a"]], [["a", 1]], {}])
    expect(readHeaders(withMore(JSON.stringify({ notes }))).more).toEqual({});
});
