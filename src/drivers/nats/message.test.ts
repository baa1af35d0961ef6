import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ClientMessage } from "./client.ts";
import { outHeaders, readHeaders, statusOf, statusText } from "./headers.ts";
import { NatsMessage, parseReply, type Place } from "./message.ts";
import { pullStep } from "./pull-status.ts";

const place: Place = { lane: "stream", partition: "events", topic: (subject) => subject };
const reply = "$JS.ACK.S.c.3.42.7.1700000000123456789.9";

/** As the client keeps it: headers and body in one piece. */
function received(head: string, body = ""): ClientMessage {
  const bytes = Buffer.from(`..${head}${body}`).subarray(2); // a view of a larger piece
  const length = Buffer.byteLength(head);
  const message = {
    subject: "a.b",
    reply,
    data: bytes.subarray(length),
    _rdata: bytes,
    _msg: { hdr: length === 0 ? -1 : length },
  };
  return message;
}

describe("a delivery", () => {
  it("says by its reply where it stands, with a domain or without", () => {
    const delivery = {
      stream: "S",
      consumer: "c",
      delivered: 3,
      sequence: 42,
      consumerSequence: 7,
      timeMs: 1_700_000_000_123,
      pending: 9,
    };
    expect(parseReply(reply)).toEqual(delivery);
    expect(parseReply("$JS.ACK.hub.hash.S.c.3.42.7.1700000000123456789.9.random")).toEqual(delivery);
    for (const none of [undefined, "", "_INBOX.x", "$JS.ACK.S.c.3"]) expect(parseReply(none)).toBeUndefined();
  });

  it("gives back what was sent: key and headers, none of the server's and the driver's own among them", () => {
    const value = fc.string({ unit: "grapheme-ascii" }).map((each) => each.trim());
    fc.assert(
      fc.property(
        fc.string({
          minLength: 1,
          unit: fc.constantFrom("a", " ", "%", ":", "é", "\u{1f600}", "\r\n", "\0", "\ud800", "ключ"),
        }),
        fc.array(value, { maxLength: 4 }),
        (key, values) => {
          const headers = values.map((each, index) => [`x-${index}`, each] as const);
          const encoded = outHeaders({ brokerId: "id\r\n1", key, replyTo: "i.x", headers }, "S").encode();
          const message = new NatsMessage(received(Buffer.from(encoded).toString()), parseReply(reply)!, place);
          expect([message.key, message.replyTo, message.headers()]).toEqual([key.toWellFormed(), "i.x", headers]);
          expect(message.header("Nats-Expected-Stream")).toBe("S");
        },
      ),
    );
  });

  it("counts what was handed out since it was last settled, and keeps notes apart from what a publisher wrote", () => {
    const message = new NatsMessage(
      received("NATS/1.0\r\nomnibus-done: forged\r\nx: 1\r\n\r\n", "{}"),
      parseReply(reply)!,
      place,
    );
    expect([
      message.deliveries,
      message.attempts,
      message.note("omnibus-done"),
      message.header("omnibus-done"),
    ]).toEqual([3, 0, undefined, "forged"]);
    message.noted = { base: 2, attempts: 4, notBefore: 5, headers: [["omnibus-done", "a"]] };
    expect([
      message.deliveries,
      message.attempts,
      message.notBefore,
      message.note("omnibus-done"),
      message.header("omnibus-done"),
    ]).toEqual([1, 4, 5, "a", "a"]);
    expect(message.headers()).toEqual([
      ["x", "1"],
      ["omnibus-done", "a"],
    ]);
    message.handedBefore = 2;
    expect(message.deliveries).toBe(3);
  });
});

describe("an answer without a body", () => {
  it("is a status, and what the next step is", () => {
    const step = (line: string): string => {
      const message = received(`NATS/1.0 ${line}\r\nNats-Pending-Messages: 3\r\n\r\n`);
      return `${statusOf(message)} ${pullStep(statusOf(message), statusText(message))}`;
    };
    expect(step("100 Idle Heartbeat")).toBe("100 alive");
    expect(step("404 No Messages")).toBe("404 empty");
    expect(step("408 Request Timeout")).toBe("408 empty");
    expect(step("409 Batch Completed")).toBe("409 over");
    expect(step("409 Leadership Change")).toBe("409 over");
    expect(step("409 Message Size Exceeds MaxBytes")).toBe("409 too-large");
    expect(step("409 Consumer Deleted")).toBe("409 gone");
    expect(step("503")).toBe("503 look");
    expect(step("423 Nats-Pin-Id mismatch")).toBe("423 look");
  });

  it("or a message that is empty", () => {
    expect(statusOf(received("NATS/1.0\r\na: b\r\n\r\n"))).toBe(0);
    expect(statusOf(received(""))).toBe(0);
    expect(statusOf(received("NATS/1.0 503\r\n\r\n", "body"))).toBe(0);
  });

  it("is read through the client where its insides look different", () => {
    const headers = Object.assign([["a", ["1", "2"]]] as [string, string[]][], { code: 503, description: "none" });
    const message: ClientMessage = { subject: "a", data: new Uint8Array(0), headers };
    expect([statusOf(message), statusText(message), readHeaders(message)]).toEqual([
      503,
      "none",
      [
        ["a", "1"],
        ["a", "2"],
      ],
    ]);
  });
});
