import { expect, it } from "vitest";
import type { StoredMessage } from "../../driver.ts";
import { encodeHeaders, parseHeaders } from "./headers.ts";
import { decodeStored, encodeStored } from "./stored-message.ts";

const message: StoredMessage = {
  id: "g/ä 1",
  to: { kind: "topic", stream: "events", topic: "a.b" },
  group: "g",
  topic: "a.b",
  key: 'a "key"\r\nNats-Msg-Id: forged',
  headers: [
    ["ce-x", "1\u2028\ud800"],
    ["ce-x", ""],
  ],
  body: new Uint8Array([0, 255]),
  storedAt: 7.5,
  notBefore: undefined,
};

it("comes back as it was from one line of a header", () => {
  const headers = parseHeaders(new TextDecoder().decode(encodeHeaders(encodeStored(message)).encode()));
  expect(headers).toHaveLength(1);
  expect(decodeStored(headers, message.body)).toEqual(message);
  expect(decodeStored(headers, message.body)!.body).not.toBe(message.body);
});

it("knows what another program wrote", () => {
  for (const text of ["", "{", "null", "1", '"x"', "{}", '{"id":"a","to":{},"headers":0}'])
    expect(decodeStored([["Omnibus-Stored", text]], message.body)).toBeUndefined();
  expect(decodeStored([], message.body)).toBeUndefined();
});
