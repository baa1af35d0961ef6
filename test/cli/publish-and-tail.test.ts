import { connect } from "../../src/index.ts";
import { describe, expect, it } from "vitest";
import { inProcess } from "./in-process.ts";
import { cli, jsonLines, startCli, temporaryBus } from "./run-cli.ts";

describe("publish", () => {
  it("prints the receipt, and groups get the event", async () => {
    using temporary = temporaryBus();
    const { url } = temporary;
    const published = await cli([
      "publish",
      "orders.placed",
      '{"orderId":"o-1"}',
      "--key",
      "o-1",
      "--type",
      "placed",
      "--id",
      "id-1",
      "--url",
      url,
    ]);
    expect(published.stderr).toBe("");
    expect(published.code).toBe(0);
    expect(jsonLines(published.stdout)).toMatchObject([{ id: "id-1", driver: "sqlite", stored: "broker" }]);

    const tail = await cli(["tail", "orders.>", "--group", "look", "--count", "1", "--json"], {
      env: { OMNIBUS_URL: url },
    });
    expect(tail.code).toBe(0);
    expect(jsonLines(tail.stdout)).toMatchObject([
      {
        id: "id-1",
        type: "placed",
        topic: "orders.placed",
        key: "o-1",
        source: "omnibus-cli",
        data: { orderId: "o-1" },
      },
    ]);
  });

  it("reads one value from standard input", async () => {
    using temporary = temporaryBus();
    const args = ["--url", temporary.url];
    const published = await cli(["publish", "orders.placed", ...args, "--table"], {
      input: '{\n  "orderId": "o-1"\n}\n',
    });
    expect(published.stdout).toMatch(/^published [0-9a-f-]{36} to stream events\n$/u);
    const tail = await cli(["tail", ">", "--group", "look", "-n", "1", ...args]);
    expect(jsonLines(tail.stdout)).toMatchObject([{ data: { orderId: "o-1" } }]);
  });

  it("reads an event from each line, and says which line is broken", async () => {
    using temporary = temporaryBus();
    const args = ["--lines", "--key", "k", "--url", temporary.url];
    const published = await cli(["publish", "a.b", ...args], { input: "1\n\n2\nthree\n4\n" });
    expect(published.code).toBe(2);
    expect(published.stderr).toContain("line 4 must be JSON");
    expect(jsonLines(published.stdout)).toHaveLength(2);
    const tail = await cli(["tail", "a.*", "--group", "look", "-n", "2", "--url", temporary.url]);
    expect(jsonLines(tail.stdout).map(({ data }) => data)).toEqual([1, 2]);
  });

  it("fails in one line with the code, with the stack only when asked", async () => {
    using temporary = temporaryBus();
    const args = ["publish", "a.*", "1", "--url", temporary.url];
    const short = await cli(args);
    expect(short.code).toBe(1);
    expect(short.stderr).toMatch(/^omnibus: BUS_INVALID_TOPIC: [^\n]+\n$/u);
    const long = await cli([...args, "--verbose"]);
    expect(long.stderr).toMatch(/\n +at /u);
  });
});

describe("publish to a bus that has streams", () => {
  const orders = { streams: [{ name: "orders", topics: ["orders.>", "returns.*"] }] };

  it.each([
    ["one event", [], "1"],
    ["lines", ["--lines"], "1\n2\n"],
  ])("refuses %s of a topic that none captures, names them, and makes nothing", async (_name, flags, input) => {
    using temporary = temporaryBus();
    const { url } = temporary;
    await (await connect(url, orders)).close();
    const refused = await inProcess(["publish", "mails.sent", ...flags, "--url", url], { input });
    expect(refused).toEqual({
      code: 1,
      stdout: "",
      stderr:
        'omnibus: BUS_NOT_FOUND: no stream of this bus captures "mails.sent"; there are orders (orders.> returns.*). --create makes the stream "events", for every topic that no other one captures\n',
    });
    const streams = jsonLines((await inProcess(["streams", "--url", url])).stdout);
    expect(streams).toMatchObject([{ name: "orders", messages: 0 }]);
    expect(await inProcess(["publish", "returns.in", ...flags, "--url", url], { input })).toMatchObject({ code: 0 });
  });

  it("makes one for it when told to, as a program without streams of its own would", async () => {
    using temporary = temporaryBus();
    const { url } = temporary;
    await (await connect(url, orders)).close();
    const published = await inProcess(["publish", "mails.sent", "1", "--create", "--url", url]);
    expect(published).toMatchObject({ code: 0, stderr: "" });
    expect(jsonLines(published.stdout)).toMatchObject([{ stream: "events" }]);
    await using bus = await connect(url);
    expect(await bus.streams.ensure({ name: "events", topics: [">"] }, { dryRun: true })).toBe("unchanged");
    const kept = await inProcess(["publish", "orders.placed", "1", "--create", "--url", url]);
    expect(jsonLines(kept.stdout)).toMatchObject([{ stream: "orders" }]);
  });

  it("joins a group there without making a stream", async () => {
    using temporary = temporaryBus();
    const { url } = temporary;
    await (await connect(url, orders)).close();
    await inProcess(["publish", "orders.placed", "1", "--url", url]);
    const tail = await inProcess(["tail", ">", "--group", "look", "-n", "1", "--url", url]);
    expect(jsonLines(tail.stdout)).toMatchObject([{ topic: "orders.placed" }]);
    expect(jsonLines((await inProcess(["streams", "--url", url])).stdout)).toMatchObject([{ name: "orders" }]);
  });
});

describe("tail", () => {
  it("shows what is published from now on until Ctrl-C, and exits with 130", async () => {
    using temporary = temporaryBus();
    const { url } = temporary;
    await cli(["publish", "a.before", "0", "--url", url]);
    const tail = startCli(["tail", "a.*", "--table", "--url", url]);
    await tail.saw("Waiting for events");
    await cli(["publish", "b.other", "1", "--url", url]);
    await cli(["publish", "a.seen", '"\\u001b[31mred\\u202e"', "--key", "k", "--url", url]);
    await tail.saw("a.seen");
    tail.child.kill("SIGINT");
    const { code, stdout } = await tail.ended;
    expect(code).toBe(130);
    expect(stdout).toMatch(/^\S+Z {2}a\.seen key=k {2}[0-9a-f-]{36} {2}"\\u001b\[31mred\\u202e"\n$/u);
  });

  it("settles what it has shown and hands back the rest", async () => {
    using temporary = temporaryBus();
    const { url } = temporary;
    await cli(["publish", "a.b", "--lines", "--url", url, "--key", "k"], { input: "1\n2\n3\n4\n5\n" });
    const args = ["tail", ">", "--group", "look", "--url", url];
    expect(jsonLines((await cli([...args, "-n", "2"])).stdout).map(({ data }) => data)).toEqual([1, 2]);
    expect(jsonLines((await cli([...args, "-n", "3"])).stdout).map(({ data }) => data)).toEqual([3, 4, 5]);
    await using bus = await connect(url);
    expect(await bus.groups.info("look")).toMatchObject({ waiting: 0, inFlight: 0, deadLetters: 0 });
  });

  it("ends quietly when its reader goes away", async () => {
    using temporary = temporaryBus();
    const { url } = temporary;
    const tail = startCli(["tail", ">", "--json", "--group", "look", "--url", url]);
    expect(await cli(["publish", "a.b", "1", "--url", url])).toMatchObject({ code: 0 }); // both find a new bus
    await tail.saw("a.b");
    tail.child.stdout?.destroy();
    await cli(["publish", "a.b", "2", "--url", url]);
    const { code, stderr } = await tail.ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    // Nobody has seen the second one: it is not settled.
    const again = await cli(["tail", ">", "--group", "look", "-n", "1", "--url", url]);
    expect(jsonLines(again.stdout).map(({ data }) => data)).toEqual([2]);
  });

  it("does not widen a group unless told to", async () => {
    using temporary = temporaryBus();
    const { url } = temporary;
    const patterns = async (): Promise<readonly string[]> => {
      await using bus = await connect(url);
      return (await bus.groups.info("shipping")).patterns;
    };
    {
      await using bus = await connect(url);
      const subscription = await bus.subscribePattern("orders.>", () => {}, { group: "shipping" });
      await subscription.unsubscribe();
      await bus.publishTopic("orders.placed", 1);
    }
    const tail = (...args: string[]): ReturnType<typeof inProcess> =>
      inProcess(["tail", ...args, "--group", "shipping", "-n", "1", "--url", url]);
    const refused = await tail(">");
    expect(refused).toMatchObject({ code: 2, stdout: "" });
    expect(refused.stderr).toMatch(
      /^omnibus: the group shipping reads orders\.>; joining it with > would [^\n]+--widen\.\n$/u,
    );
    expect(await patterns()).toEqual(["orders.>"]);

    expect(jsonLines((await tail("orders.>")).stdout)).toMatchObject([{ topic: "orders.placed" }]);
    expect(await patterns()).toEqual(["orders.>"]);

    await inProcess(["publish", "orders.paid", "2", "--url", url]);
    expect(await tail(">", "--widen")).toMatchObject({ code: 0 });
    expect(await patterns()).toContain(">");
  });
});
