import { spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { End, ProxiedEcho, untilClosed, untilSays } from "../../test/support/proxied-echo.ts";
import { FaultProxy } from "./fault-proxy.ts";
import { silence, until, within } from "./until.ts";

const echo = new ProxiedEcho();

describe("a line without faults", () => {
  it("carries bytes of many connections both ways, untouched, and counts them", async () => {
    const bytes = 300_000;
    const callers = [echo.dial(), echo.dial(), echo.dial()];
    await Promise.all(callers.map((each) => each.echoMs(bytes)));
    expect([
      echo.proxy.accepted,
      echo.proxy.open,
      echo.proxy.requests.passedBytes,
      echo.proxy.replies.passedBytes,
    ]).toEqual([3, 3, 3 * bytes, 3 * bytes]);
    expect([echo.proxy.requests.receivedBytes, echo.proxy.requests.lostBytes]).toEqual([3 * bytes, 0]);
  });

  it("passes an end on in its direction only, and is done when both have ended", async () => {
    const one = echo.dial();
    one.socket.end("last words");
    await untilSays(one, "last words");
    await untilClosed(one);
    await until(() => echo.proxy.open === 0, "both sides to be closed");
  });

  it("lets a client speak on to whom has ended", async () => {
    const socket = connect({ port: echo.proxy.port, host: "127.0.0.1", allowHalfOpen: true });
    const one = new End(socket);
    await one.echoMs();
    echo.target.socket.end();
    await until(() => one.ended, "the target's end");
    socket.end("last words");
    await until(() => echo.target.closed, "the client's end");
    expect(echo.target.text).toBe("xlast words");
  });

  it("counts what comes for a client that is gone as lost", async () => {
    echo.proxy.requests.set({ closeDelayMs: 3_600_000 });
    const one = await echo.caller();
    one.socket.resetAndDestroy();
    await until(() => {
      echo.target.socket.write("anybody?");
      return echo.proxy.replies.lostBytes > 0;
    }, "something to be lost");
    expect(echo.target.closed).toBe(false);
    echo.proxy.requests.clear();
    await untilClosed(echo.target, "ECONNRESET");
  });

  it("passes a reset on, from either side", async () => {
    const one = await echo.caller();
    one.socket.resetAndDestroy();
    await untilClosed(echo.target, "ECONNRESET");
    const other = await echo.caller();
    echo.target.socket.resetAndDestroy();
    await untilClosed(other, "ECONNRESET");
    await until(() => echo.proxy.open === 0, "both sides to be closed");
  });

  it("resets who comes while the target is not there, and finds it when it is", async () => {
    const away = createServer().listen(0, "127.0.0.1");
    await once(away, "listening");
    const { port } = away.address() as AddressInfo;
    away.close();
    await using early = await FaultProxy.start(`127.0.0.1:${port}`);
    const one = echo.dial(early);
    await untilClosed(one, "ECONNRESET");
    const late = createServer((socket) => void socket.end("here")).listen(port, "127.0.0.1");
    await once(late, "listening");
    const other = echo.dial(early);
    await untilSays(other, "here");
    other.socket.destroy();
    late.close();
  });

  it("stands in for the target in a url, and takes one for it", async () => {
    const url = `redis://user:secret@localhost:${echo.address.split(":")[1]}/3?a=b`;
    await using by = await FaultProxy.start(url);
    expect(by.url(url)).toBe(`redis://user:secret@127.0.0.1:${by.port}/3?a=b`);
    const one = echo.dial(by);
    await one.echoMs();
    one.socket.destroy();
  });

  it("refuses a target without a port, and says no password", async () => {
    await expect(FaultProxy.start("nats://user:secret@broker")).rejects.toThrow(/^(?!.*secret).*\(broker\).*port/);
    await expect(FaultProxy.start("")).rejects.toThrow("host:port");
  });
});

describe("connections that break", () => {
  it("resets both sides of the open ones, and takes new ones", async () => {
    const one = await echo.caller();
    const end = echo.target;
    echo.proxy.reset();
    await Promise.all([untilClosed(one, "ECONNRESET"), untilClosed(end, "ECONNRESET")]);
    expect(await echo.dial().echoMs()).toBeGreaterThan(0);
  });

  it("resets after so many bytes of requests, of which the last arrives, once", async () => {
    const one = await echo.caller();
    const done = echo.proxy.requests.resetAfter(7);
    one.socket.write("0123");
    await untilSays(one, "0123");
    one.socket.write("456789");
    expect(await within(done, "the reset")).toBe(true);
    await untilClosed(one, "ECONNRESET");
    await until(() => echo.ends[0]?.closed === true, "the target's end");
    expect(echo.ends[0]?.text).toBe("x0123456");
    expect(await echo.dial().echoMs(100)).toBeGreaterThan(0);
  });

  it("resets after so many bytes of answers, each connection counted by itself", async () => {
    const one = await echo.caller();
    const other = await echo.caller();
    const done = echo.proxy.replies.resetAfter(5);
    await other.echoMs(4);
    one.socket.write("0123456789");
    await within(done, "the reset");
    await untilClosed(one, "ECONNRESET");
    expect(one.text).toBe("01234");
    expect(await other.echoMs()).toBeGreaterThan(0);
  });

  it("resets with the very last byte", async () => {
    const one = await echo.caller();
    const done = echo.proxy.replies.resetAfter(4);
    one.socket.write("0123");
    await within(done, "the reset");
    await untilClosed(one, "ECONNRESET");
    expect(one.text).toBe("0123");
  });

  it("leaves the client's side of a half-open connection silent, and closes the target's", async () => {
    const one = await echo.caller();
    const end = echo.target;
    echo.proxy.replies.set({ bytesPerSecond: 0 });
    one.socket.write("on its way");
    await until(() => echo.proxy.replies.receivedBytes === 11, "an answer on its way");
    echo.proxy.halfOpen();
    await untilClosed(end);
    echo.proxy.requests.set({ blackHole: true });
    for (const lost of [8, 16]) {
      one.socket.write("anybody?");
      await until(() => echo.proxy.requests.lostBytes === lost, "it to be swallowed");
      await echo.proxy.heal();
    }
    await silence(() => one.text.length + Number(one.ended) + Number(one.closed), "the client's side", 50);
    expect(await echo.dial().echoMs()).toBeGreaterThan(0);
    echo.proxy.reset();
    await untilClosed(one, "ECONNRESET");
  });

  it("refuses new connections, keeps the open ones, and listens on the same port again", async () => {
    const one = await echo.caller();
    const { port } = echo.proxy;
    echo.proxy.refuse();
    await untilClosed(echo.dial(), "ECONNREFUSED");
    expect(await one.echoMs()).toBeGreaterThan(0);
    await echo.proxy.up();
    expect(echo.proxy.port).toBe(port);
    expect(await echo.dial().echoMs()).toBeGreaterThan(0);
  });

  it("is down for everybody, and up again, as often as wanted", async () => {
    for (let round = 0; round < 3; round += 1) {
      const one = await echo.caller();
      echo.proxy.down();
      await untilClosed(one, "ECONNRESET");
      await untilClosed(echo.dial(), "ECONNREFUSED");
      await Promise.all([echo.proxy.up(), echo.proxy.up()]);
    }
    const begun = echo.proxy.up();
    echo.proxy.down();
    const again = echo.proxy.up();
    echo.proxy.down();
    await Promise.all([begun, again]);
    await untilClosed(echo.dial(), "ECONNREFUSED");
    await echo.proxy.up();
    expect(await echo.dial().echoMs()).toBeGreaterThan(0);
  });

  it("says that another has taken its port, and takes it back when it is free", async () => {
    echo.proxy.down();
    const other = createServer().listen(echo.proxy.port, "127.0.0.1");
    await once(other, "listening");
    await expect(echo.proxy.up()).rejects.toThrow("EADDRINUSE");
    other.close();
    await echo.proxy.up();
    expect(await echo.dial().echoMs()).toBeGreaterThan(0);
  });
});

describe("the end of a proxy", () => {
  it("heals all at once", async () => {
    const one = await echo.caller();
    echo.proxy.requests.set({ latencyMs: 3_600_000 });
    echo.proxy.replies.set({ bytesPerSecond: 0 });
    one.socket.write("late");
    echo.proxy.refuse();
    await echo.proxy.heal();
    await untilSays(one, "late");
    expect(await echo.dial().echoMs()).toBeGreaterThan(0);
  });

  it("ends every socket, whatever its faults, and cannot be begun again", async () => {
    const halfOpen = await echo.caller();
    echo.proxy.halfOpen();
    const held = await echo.caller();
    echo.proxy.requests.set({ bytesPerSecond: 0 });
    held.socket.write("held");
    await until(() => echo.proxy.requests.receivedBytes === 6, "what is held");
    await within(echo.proxy.close(), "its end");
    await until(() => halfOpen.closed && held.closed && echo.target.closed, "every socket");
    expect(echo.proxy.open).toBe(0);
    await untilClosed(echo.dial(), "ECONNREFUSED");
    await echo.proxy.close();
    await expect(echo.proxy.up()).rejects.toThrow("closed");
  });

  /** What a process said in which nothing but this goes on, and its exit code. */
  async function alone(program: string): Promise<readonly [string, number | null]> {
    const imports = `
      import { FaultProxy } from ${JSON.stringify(join(import.meta.dirname, "fault-proxy.ts"))};
      import { connect } from "node:net";
      import { once } from "node:events";`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", `${imports}${program}`], { timeout: 15_000 });
    let said = "";
    child.stdout.on("data", (bytes: Buffer) => (said += bytes.toString()));
    child.stderr.on("data", (bytes: Buffer) => (said += bytes.toString()));
    await once(child, "close");
    return [said, child.exitCode];
  }

  it("keeps no process alive, not with what it holds back either", async () => {
    const program = `
      const proxy = await FaultProxy.start(${JSON.stringify(echo.address)});
      proxy.requests.set({ latencyMs: 3_600_000 });
      const socket = connect(proxy.port, "127.0.0.1");
      await once(socket, "connect");
      socket.write("held");
      socket.unref();
      void proxy.swallowReply();
      console.log("open");`;
    expect(await alone(program)).toEqual(["open\n", 0]);
  });

  it("goes on by itself in a process where nothing else happens", async () => {
    const patient = createServer((socket) => {
      const end = new End(socket);
      socket.on("data", () => end.text.length === 200 && socket.end("all"));
    }).listen(0, "127.0.0.1");
    await once(patient, "listening");
    const program = `
      const proxy = await FaultProxy.start("127.0.0.1:${(patient.address() as AddressInfo).port}");
      proxy.requests.set({ sliceBytes: 10 });
      const socket = connect(proxy.port, "127.0.0.1");
      socket.end("x".repeat(200));
      for await (const chunk of socket) console.log(String(chunk), proxy.requests.writes);`;
    expect(await alone(program)).toEqual(["all 20\n", 0]);
    patient.close();
  });
});
