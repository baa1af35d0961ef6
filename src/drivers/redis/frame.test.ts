import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { StoredMessage } from "../../driver.ts";
import { decodeHeaders, encodeHeaders, FrameReader, FrameWriter } from "./frame.ts";
import { directMessage, readDelivered } from "./message.ts";
import { Keys } from "./keys.ts";
import { decodeNote, encodeNote } from "./note.ts";
import { decodeStored, encodeStored } from "./stored-frame.ts";

const text = fc.string({ unit: "binary", maxLength: 100 }).map((value) => value.toWellFormed());
const bytes = fc.uint8Array({ maxLength: 300 });
const headers = fc.array(fc.tuple(text, text), { maxLength: 4 });
const optional = fc.option(text, { nil: undefined });

describe("frames", () => {
  it("give back what was written", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(text, bytes, fc.nat())), (rows) => {
        const writer = new FrameWriter(1);
        for (const [word, body, number] of rows) writer.text(word).bytes(body).short(word).uint(number);
        const frame = writer.finish();
        expect(writer.size).toBe(frame.length);
        const reader = new FrameReader(frame);
        for (const [word, body, number] of rows) {
          expect(reader.text()).toBe(word);
          expect(new Uint8Array(reader.bytes())).toEqual(body);
          expect(reader.short()).toBe(word);
          expect(reader.uint()).toBe(number);
        }
        expect(reader.done).toBe(true);
      }),
    );
  });

  it("refuse a short text that is long", () => {
    expect(new FrameWriter().short("x".repeat(65_535)).size).toBe(65_537);
    expect(() => new FrameWriter().short("x".repeat(65_536))).toThrow(/65535/);
  });

  it("keep letters, scheduled and parked messages whole", () => {
    fc.assert(
      fc.property(text, optional, optional, headers, bytes, fc.option(fc.nat(), { nil: undefined }), (...parts) => {
        const [id, group, key, list, body, notBefore] = parts;
        const message: StoredMessage = {
          id,
          to: { kind: "queue", group: id, topic: id },
          group,
          topic: id,
          key,
          headers: list,
          body,
          storedAt: 12.5,
          notBefore,
        };
        expect(decodeStored(encodeStored(message))).toEqual(message);
      }),
    );
  });

  it("keep headers and notes; what somebody else wrote is no header", () => {
    fc.assert(
      fc.property(headers, fc.nat(), (list, attempts) => {
        expect(decodeHeaders(encodeHeaders(list))).toEqual(list);
        expect(decodeNote(encodeNote({ attempts, headers: list }))).toEqual({ attempts, headers: list });
      }),
    );
    for (const foreign of ["", "x", "{}", "[1]", '[["a"]]', "null"]) expect(decodeHeaders(foreign)).toEqual([]);
    expect(decodeNote("")).toEqual({ attempts: 0, headers: [] });
  });
});

describe("messages", () => {
  const delivered = (note: string): Buffer =>
    new FrameWriter()
      .short("s:events:3")
      .uint(1)
      .short("5-1")
      .uint(2)
      .short("a.b")
      .short(".k")
      .text('[["h","1"],["i","2"]]')
      .bytes(Buffer.from("body"))
      .text(note)
      .finish();

  it("are read with their place, count and note, which wins over a header", () => {
    const note = encodeNote({ attempts: 3, headers: [["h", "noted"]] });
    const [message] = readDelivered(new FrameReader(delivered(`-2 ${note}`)), new Keys("p"), 11);
    expect(message).toMatchObject({ topic: "a.b", key: "k", partition: "events/3", position: "5-1", lane: "stream" });
    expect(message).toMatchObject({ deliveries: 2, attempts: 3, notBefore: 9, noted: true, ref: "s:events:3" });
    expect([message!.header("h"), message!.header("i"), message!.note("i"), message!.note("h")]).toEqual([
      "noted",
      "2",
      undefined,
      "noted",
    ]);
    expect(message!.headers()).toEqual([
      ["i", "2"],
      ["h", "noted"],
    ]);
    expect(Buffer.from(message!.body).toString()).toBe("body");
  });

  it("have one size for all of their life, and bytes of their own when asked to", () => {
    const frame = delivered("");
    const [message] = readDelivered(new FrameReader(frame), new Keys("p"), 11);
    const { size } = message!;
    message!.headers();
    message!.keepBytes();
    frame.fill(0);
    expect(message!.size).toBe(size);
    expect(Buffer.from(message!.body).toString()).toBe("body");
    expect(message!.header("h")).toBe("1");
    message!.noteWas(encodeNote({ attempts: 1, headers: [] }), 5);
    expect([message!.attempts, message!.noted, message!.header("h"), message!.notBefore]).toEqual([1, true, "1", 5]);
  });

  it("of the direct lane have a reply address", () => {
    const frame = new FrameWriter().text("t").text("").text("").bytes(Buffer.from("x")).text(".me").finish();
    expect(directMessage(new FrameReader(frame), "direct")).toMatchObject({
      topic: "t",
      key: undefined,
      replyTo: "me",
      lane: "direct",
    });
  });
});
