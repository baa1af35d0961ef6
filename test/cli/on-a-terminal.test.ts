import { connect } from "../../src/index.ts";
import { describe, expect, it } from "vitest";
import { inProcess } from "./in-process.ts";
import { temporaryBus } from "./run-cli.ts";

describe("on a terminal", () => {
  it("prints for people", async () => {
    using temporary = temporaryBus();
    const env = { OMNIBUS_URL: temporary.url };
    const tty = true;
    const published = await inProcess(["publish", "orders.placed", "1", "--id", "a"], { env, tty });
    expect(published).toEqual({ code: 0, stdout: "published a to stream events\n", stderr: "" });
    const tail = await inProcess(["tail", ">", "--group", "g", "-n", "1"], { env, tty });
    expect(tail.stdout).toMatch(/^\S+Z {2}orders\.placed {2}a {2}1\n$/u);
    expect(tail.stderr).toBe("Waiting for events; Ctrl-C ends.\n");
    expect((await inProcess(["groups"], { env, tty })).stdout).toMatch(/^GROUP .*\ng +> +group +0 +0 +0 +0 +0 +-\n$/u);
    expect((await inProcess(["health"], { env, tty })).stdout).toMatch(/^status +up\n/u);
    expect((await inProcess(["streams", "--json"], { env, tty })).stdout).toMatch(/^\{"name":"events",/u);
  });

  it("does not wait for somebody to type the data", async () => {
    const published = await inProcess(["publish", "a.b", "--url", "sqlite:./never-made.db"], { tty: true });
    expect(published).toMatchObject({
      code: 2,
      stderr: "omnibus: no data: give JSON after the topic, or pipe it in.\n",
    });
  });

  it("says how many were published from lines, and which failed", async () => {
    using temporary = temporaryBus();
    const options = { env: { OMNIBUS_URL: temporary.url }, tty: false };
    const args = ["publish", "a.b", "--lines", "--table"];
    const input = `1\n"${"x".repeat(2_000_000)}"\n3\n`;
    const { code, stdout, stderr } = await inProcess(args, { ...options, input });
    expect({ code, stdout }).toEqual({ code: 1, stdout: "published 2 events to a.b\n" });
    expect(stderr).toMatch(/^omnibus: [0-9a-f-]{36}: BUS_TOO_LARGE: [^\n]+\n$/u);
  });
});

describe("Ctrl-C", () => {
  it("ends what runs with 130, and closes the bus", async () => {
    using temporary = temporaryBus();
    await (await connect(temporary.url)).close();
    const interrupted = new AbortController();
    const buses: { readonly state: string }[] = [];
    const done = inProcess(["tail", ">", "--url", temporary.url], {
      interrupted: interrupted.signal,
      connect: async (url, options) => {
        const bus = await connect(url, options);
        buses.push(bus);
        setTimeout(() => interrupted.abort(130), 100);
        return bus;
      },
    });
    expect(await done).toEqual({ code: 130, stdout: "", stderr: "" });
    expect(buses.map(({ state }) => state)).toEqual(["closed"]);
  });

  it("ends a try to connect", async () => {
    const interrupted = AbortSignal.abort(143);
    const { code } = await inProcess(["health", "--url", "sqlite:./never-made.db"], { interrupted });
    expect(code).toBe(143);
  });
});
