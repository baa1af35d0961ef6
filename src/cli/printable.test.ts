import { describe, expect, it } from "vitest";
import { jsonText, printable, printableLines } from "./printable.ts";

const esc = "\u001b";

describe("printable", () => {
  it.each([
    ["a colour", `${esc}[31mred${esc}[0m`, "red"],
    ["a colour by C1", "\u009b31mred\u009b0m", "red"],
    ["clearing the screen", `${esc}[2Jgone`, "gone"],
    ["a window title", `${esc}]0;pwned\u0007text`, "text"],
    ["a window title ended by ST", `${esc}]0;pwned${esc}\\text`, "text"],
    ["a link", `${esc}]8;;http://x${esc}\\click${esc}]8;;${esc}\\`, "click"],
    ["a device control string", `${esc}P1$r0m${esc}\\ok`, "ok"],
    ["a title by C1", "\u009d0;pwned\u009cok", "ok"],
    ["a character set", `${esc}(0lqk`, "lqk"],
    ["an escape at the end", `text${esc}`, "text"],
    ["new lines", "one\r\ntwo\tthree\u2028four", "one two three four"],
    ["a bell and a backspace", "a\u0007b\u0008c\u0000d", "abcd"],
    ["text that runs backwards", "user\u202egpj.exe\u2066x\u2069", "usergpj.exex"],
    ["half a surrogate pair", "a\ud800b", "a\ufffdb"],
    ["what is harmless", "Zürich 東京 🎉 <img onerror=x>", "Zürich 東京 🎉 <img onerror=x>"],
  ])("takes out %s", (_name, text, shown) => {
    expect(printable(text)).toBe(shown);
  });

  it("takes time that grows with the text only", () => {
    const text = `${esc}]`.repeat(200_000) + `${esc}[`.repeat(200_000);
    const before = performance.now();
    printable(text);
    expect(performance.now() - before).toBeLessThan(2_000);
  });

  it("leaves the lines of longer text, and nothing else that moves the cursor", () => {
    expect(printableLines(`at a\r\n  at b${esc}[1A\u202e\tc\u0085d`)).toBe("at a\n  at b c d");
  });
});

describe("jsonText", () => {
  it("escapes what a terminal may obey, so that the value stays the same", () => {
    const value = { a: `${esc}[2J\u009b2J\u202e\u2066\u2028\u007f` };
    const text = jsonText(value);
    // oxlint-disable-next-line no-control-regex
    expect(text).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\u2028]/u);
    expect(JSON.parse(text)).toEqual(value);
  });

  it("writes dates, bytes and big integers", () => {
    const value = { at: new Date(0), raw: new Uint8Array([1, 2]), big: 12n, none: undefined };
    expect(JSON.parse(jsonText(value))).toEqual({ at: "1970-01-01T00:00:00.000Z", raw: "AQI=", big: "12" });
    expect(jsonText(undefined)).toBe("null");
  });
});
