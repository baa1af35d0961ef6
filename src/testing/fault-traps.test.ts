import { describe, expect, it } from "vitest";
import { ProxiedEcho, untilClosed, untilSays } from "../../test/support/proxied-echo.ts";
import { until, within } from "./until.ts";

const echo = new ProxiedEcho();

describe("answers that are swallowed", () => {
  it("carries the request out and resets instead of the next answer, once", async () => {
    const one = await echo.caller();
    const done = echo.proxy.swallowReply();
    one.socket.write("request");
    expect(await within(done, "it to be swallowed")).toBe(true);
    await untilClosed(one, "ECONNRESET");
    await until(() => echo.ends[0]?.closed === true, "the target's end");
    expect([one.text, echo.ends[0]?.text, echo.ends[0]?.error]).toEqual(["", "xrequest", undefined]);
    expect(await echo.dial().echoMs()).toBeGreaterThan(0);
  });

  it("passes none of the requests that still wait when it cuts the connection", async () => {
    const one = await echo.caller();
    const { requests } = echo.proxy;
    requests.set({ sliceBytes: 1 });
    const done = echo.proxy.swallowReply();
    one.socket.write("x".repeat(1_000));
    await within(done, "it to be swallowed");
    await until(() => echo.ends[0]?.closed === true, "the target's end");
    expect(requests.lostBytes).toBeGreaterThan(0);
    expect([requests.passedBytes, requests.passedBytes + requests.lostBytes]).toEqual([
      echo.ends[0]?.text.length,
      requests.receivedBytes,
    ]);
  });

  it("option: SwallowOptions.nth lets the answers before it pass", async () => {
    const one = await echo.caller();
    const done = echo.proxy.swallowReply({ nth: 3 });
    for (const text of ["a", "ab"]) {
      one.socket.write(text.slice(-1));
      await untilSays(one, text);
    }
    one.socket.write("c");
    await within(done, "it to be swallowed");
    await untilClosed(one, "ECONNRESET");
    expect([one.text, echo.ends[0]?.text]).toEqual(["ab", "xabc"]);
  });

  it("option: SwallowOptions.request waits for a request that has it in it, also in pieces", async () => {
    const one = await echo.caller();
    const done = echo.proxy.swallowReply({ request: "PUT (a)" });
    one.socket.write("GET ");
    await untilSays(one, "GET ");
    echo.proxy.requests.set({ sliceBytes: 2 });
    echo.proxy.replies.set({ latencyMs: 30 });
    one.socket.write("PUT (a)");
    await within(done, "it to be swallowed");
    await untilClosed(one, "ECONNRESET");
    expect([one.text, echo.ends[0]?.text]).toEqual(["GET ", "xGET PUT (a)"]);
  });

  it("option: SwallowOptions.reply counts answers that come together, or in pieces", async () => {
    const one = await echo.caller();
    const done = echo.proxy.swallowReply({ reply: /:\d+;/, nth: 3 });
    echo.proxy.replies.set({ sliceBytes: 5 });
    one.socket.write(":1;:22;:333;:4444;");
    await within(done, "it to be swallowed");
    await untilClosed(one, "ECONNRESET");
    expect(":1;:22;:33").toContain(one.text); // the third match was seen in the third piece
    expect(one.text).toContain(":1;:22;");
  });

  it("says so when it is taken off before its time, and when the proxy is closed", async () => {
    const one = await echo.caller();
    const waiting = [echo.proxy.swallowReply(), echo.proxy.requests.resetAfter(5)];
    await echo.proxy.heal();
    expect(await Promise.all(waiting)).toEqual([false, false]);
    expect(await one.echoMs(10)).toBeGreaterThan(0);
    const last = echo.proxy.swallowReply();
    await echo.proxy.close();
    expect(await last).toBe(false);
  });

  it("refuses a count and a pattern that are none", () => {
    expect(() => echo.proxy.swallowReply({ nth: 0 })).toThrow("nth");
    expect(() => echo.proxy.swallowReply({ reply: "" })).toThrow("reply");
    expect(() => echo.proxy.requests.resetAfter(-1)).toThrow("bytes");
  });
});
