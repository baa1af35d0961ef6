import { existsSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { connect } from "../../src/index.ts";
import { describe, expect, it } from "vitest";
import { inProcess } from "./in-process.ts";
import { cli, jsonLines, temporaryBus } from "./run-cli.ts";

describe("streams and groups", () => {
  it("are JSON lines in a pipe and tables on demand", async () => {
    using temporary = temporaryBus();
    const { url } = temporary;
    await using bus = await connect(url, { name: "shop" });
    await bus.subscribePattern("orders.>", () => {}, { group: "shipping" });
    await bus.publishTopic("orders.placed", 1);
    await bus.publishTopic("mails.sent", 1);

    const streams = jsonLines((await cli(["streams", "--url", url])).stdout);
    expect(streams).toMatchObject([{ name: "events", messages: 2, groups: ["shipping"] }]);
    expect((await cli(["streams", "--url", url, "--table"])).stdout).toMatch(
      /^STREAM +TOPICS .*\nevents +> .* shipping\n$/u,
    );

    const groups = jsonLines((await cli(["groups", "--url", url])).stdout);
    expect(groups).toMatchObject([{ group: "shipping", patterns: ["orders.>"], members: [{ pid: process.pid }] }]);
    const one = await cli(["groups", "shipping", "--url", url, "--table"]);
    expect(one.stdout).toContain("MEMBER");
    expect(one.stdout).toContain(String(process.pid));
  });

  it("say when there is none, and when the name is wrong", async () => {
    using temporary = temporaryBus();
    const { url } = temporary;
    await (await connect(url)).close();
    expect((await inProcess(["groups", "--url", url, "--table"])).stdout).toBe("no groups\n");
    expect((await inProcess(["groups", "--url", url])).stdout).toBe("");
    const missing = await inProcess(["groups", "nobody", "--url", url]);
    expect(missing.code).toBe(1);
    expect(missing.stderr).toMatch(/^omnibus: BUS_NOT_FOUND: [^\n]+\n$/u);
  });

  it("make no file when they look where there is none", async () => {
    using temporary = temporaryBus();
    for (const command of [["streams"], ["groups"], ["dead-letters", "list"], ["health"], ["tail", ">"]]) {
      const { code, stderr } = await inProcess([...command, "--url", temporary.url]);
      expect({ command, code }).toEqual({ command, code: 1 });
      expect(stderr).toBe(
        "omnibus: BUS_NOT_FOUND: there is no bus in this file yet: publish to it, or let a program connect to it, and there is one\n",
      );
    }
    expect(existsSync(temporary.url.slice("sqlite:".length))).toBe(false);
  });

  it("say that a file has none of a prefix, or one of an older version", async () => {
    using temporary = temporaryBus();
    const { url } = temporary;
    await (await connect(url)).close();
    const other = await inProcess(["streams", "--prefix", "other", "--url", url]);
    expect(other.code).toBe(1);
    expect(other.stderr).toContain('BUS_NOT_FOUND: there is no bus with the prefix "other" in this file yet');
    const database = new DatabaseSync(url.slice("sqlite:".length));
    database.exec("UPDATE omnibus_meta SET value = 1 WHERE key = 'layout'");
    database.close();
    const older = await inProcess(["streams", "--url", url]);
    expect(older.code).toBe(1);
    expect(older.stderr).toMatch(/BUS_NOT_FOUND: the bus in this file is of an older version \(layout 1, /u);
    expect((await inProcess(["streams", "--url", "memory:"])).stderr).toContain("there is no bus at this url yet");
  });

  it("show a bus whose streams have other names", async () => {
    using temporary = temporaryBus();
    const { url } = temporary;
    await (await connect(url, { streams: [{ name: "orders", topics: ["orders.>"] }] })).close();
    const streams = await inProcess(["streams", "--url", url]);
    expect(streams).toMatchObject({ code: 0, stderr: "" });
    expect(jsonLines(streams.stdout).map(({ name }) => name)).toEqual(["orders"]);
    expect((await inProcess(["health", "--url", url])).code).toBe(0);
  });
});

describe("health", () => {
  it("is up with exit code 0", async () => {
    using temporary = temporaryBus();
    const { url } = temporary;
    await (await connect(url)).close();
    const json = await inProcess(["health", "--url", url]);
    expect(json).toMatchObject({ code: 0, stderr: "" });
    expect(jsonLines(json.stdout)).toMatchObject([{ status: "up", driver: "sqlite", reasons: [] }]);
    expect((await inProcess(["health", "--url", url, "--table"])).stdout).toMatch(
      /^status +up\ndriver +sqlite\nround trip +\d+ ms\n/u,
    );
  });

  it("is down with exit code 1 and the reason", async () => {
    using temporary = temporaryBus();
    const { url } = temporary;
    writeFileSync(url.slice("sqlite:".length), "no database ".repeat(1_000));
    const { code, stdout, stderr } = await cli(["health", "--url", url, "--timeout", "1000"]);
    expect(code).toBe(1);
    expect(jsonLines(stdout)).toEqual([{ status: "down", code: "BUS_CORRUPT" }]);
    expect(stderr).toContain("BUS_CORRUPT");
  });

  it("never prints the password of a url", async () => {
    const args = ["health", "--url", "redsi://app:hunter2%21@host:6379/0?password=hunter3", "--verbose"];
    const { code, stdout, stderr } = await inProcess(args);
    expect(code).toBe(2);
    expect(stdout + stderr).toContain("redsi");
    expect(stdout + stderr).not.toMatch(/hunter/u);
  });
});
