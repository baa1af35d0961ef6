import { Writable } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { expect, it } from "vitest";
import { type Gathered, gather } from "./gather.ts";

it("hands on what one turn writes in one call, in its order, and what comes later by itself", async () => {
  const calls: string[][] = [];
  const stream = new Writable({
    decodeStrings: false,
    write: (chunk: string, _, done) => {
      calls.push([chunk]);
      done();
    },
    writev: (chunks, done) => {
      calls.push(chunks.map(({ chunk }) => String(chunk)));
      done();
    },
  });
  gather(stream as unknown as Gathered);
  for (const text of ["a", "b", "c"]) stream.write(text);
  expect(calls).toEqual([]);
  await turn();
  expect(calls).toEqual([["a", "b", "c"]]);
  stream.write("d");
  stream.end("e");
  await turn();
  expect(calls.flat()).toEqual(["a", "b", "c", "d", "e"]);
});
