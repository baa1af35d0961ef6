import { connect, Reject } from "../../src/index.ts";
import { describe, expect, it } from "vitest";
import { until } from "../../src/testing/until.ts";
import { inProcess } from "./in-process.ts";
import { cli, jsonLines, temporaryBus } from "./run-cli.ts";

/** Three dead letters of two groups; the words of the first are those of an attacker. */
async function makeLetters(url: string): Promise<void> {
  await using bus = await connect(url);
  const refuse = (): never => {
    throw new Reject("\u001b[2J\u202eno stock\nid  forged");
  };
  await bus.subscribePattern("orders.*", refuse, { group: "shipping", name: "ship" });
  await bus.subscribePattern("mails.*", refuse, { group: "mailer" });
  await bus.publishTopic("orders.placed", { orderId: "o-1" }, { id: "event-1", key: "o-1" });
  await bus.publishTopic("orders.placed", { orderId: "o-2" }, { id: "event-2", key: "o-1" });
  await bus.publishTopic("mails.sent", "m");
  await until(async () => (await bus.deadLetters.count()) === 3, "three letters");
}

describe("dead-letters", () => {
  it("lists, filters and pages", async () => {
    using temporary = temporaryBus();
    const { url } = temporary;
    await makeLetters(url);
    const list = async (...args: string[]): Promise<Record<string, unknown>[]> => {
      const { code, stdout } = await inProcess(["dead-letters", "list", "--url", url, ...args]);
      expect(code).toBe(0);
      return jsonLines(stdout);
    };
    expect(await list()).toHaveLength(3);
    expect(await list("--group", "shipping")).toMatchObject([
      { group: "shipping", topic: "orders.placed", attempts: 1, event: { id: "event-1", data: { orderId: "o-1" } } },
      { event: { id: "event-2" } },
    ]);
    expect(await list("--topic", "mails.>")).toHaveLength(1);
    expect(await list("--error", "no stock")).toHaveLength(3);
    expect(await list("--before", "2020-01-01")).toHaveLength(0);

    const first = await inProcess(["dead-letters", "list", "--limit", "2", "--url", url]);
    const cursor = /--cursor (\S+)/u.exec(first.stderr)?.[1] ?? "";
    expect(await list("--limit", "2", "--cursor", cursor)).toHaveLength(1);
  });

  it("shows the words of strangers without obeying them", async () => {
    using temporary = temporaryBus();
    const { url } = temporary;
    await makeLetters(url);
    const table = await inProcess(["dead-letters", "list", "--group", "shipping", "--table", "--url", url]);
    expect(table.stdout.split("\n")).toHaveLength(4);
    const [letter] = jsonLines((await inProcess(["dead-letters", "list", "--group", "shipping", "--url", url])).stdout);
    const show = ["dead-letters", "show", String(letter?.["id"]), "--url", url];
    const shown = await inProcess([...show, "--table"]);
    expect(shown.code).toBe(0);
    expect(shown.stdout).toContain('"orderId": "o-1"');
    expect(shown.stdout.match(/^id /gmu)).toHaveLength(1);
    // oxlint-disable-next-line no-control-regex
    expect(table.stdout + shown.stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/u);
    const [whole] = jsonLines((await inProcess(show)).stdout);
    expect(whole).toMatchObject({ handlers: ["ship"], reason: { message: "\u001b[2J\u202eno stock\nid  forged" } });
    expect(Buffer.from(String(whole?.["raw"]), "base64").toString()).toContain("o-1");
  });

  it("replays one to its group alone, with other data if told", async () => {
    using temporary = temporaryBus();
    const { url } = temporary;
    await makeLetters(url);
    const [letter] = jsonLines((await cli(["dead-letters", "list", "--group", "shipping", "--url", url])).stdout);
    const replay = await cli([
      "dead-letters",
      "replay",
      String(letter?.["id"]),
      "--data",
      '{"orderId":"o-9"}',
      "--url",
      url,
    ]);
    expect(replay).toMatchObject({ code: 0, stderr: "" });
    expect(jsonLines(replay.stdout)).toEqual([{ replayed: 1, failed: 0 }]);

    await using bus = await connect(url);
    const got = Promise.withResolvers<unknown>();
    await bus.subscribePattern("orders.*", (event) => got.resolve([event.id, event.data]), {
      group: "shipping",
      name: "ship",
    });
    expect(await got.promise).toEqual(["event-1", { orderId: "o-9" }]);
  });

  it("replays all of a group", async () => {
    using temporary = temporaryBus();
    const { url } = temporary;
    await makeLetters(url);
    const replay = await inProcess(["dead-letters", "replay", "--group", "shipping", "--table", "--url", url]);
    expect(replay).toMatchObject({ code: 0, stdout: "replayed 2 dead letters\n" });
    expect(jsonLines((await inProcess(["dead-letters", "list", "--url", url])).stdout)).toMatchObject([
      { group: "mailer" },
    ]);
  });

  it("discards one, and all when that is said twice", async () => {
    using temporary = temporaryBus();
    const { url } = temporary;
    await makeLetters(url);
    const [letter] = jsonLines((await inProcess(["dead-letters", "list", "--url", url])).stdout);
    const one = ["dead-letters", "discard", String(letter?.["id"]), "--url", url];
    expect(jsonLines((await inProcess(one)).stdout)).toEqual([{ discarded: 1 }]);
    expect((await inProcess(one)).code).toBe(1);
    const all = await inProcess(["dead-letters", "discard", "--all", "--yes", "--table", "--url", url]);
    expect(all.stdout).toBe("discarded 2 dead letters\n");
  });

  it("says so when an id is unknown", async () => {
    using temporary = temporaryBus();
    const { url } = temporary;
    await makeLetters(url);
    for (const command of ["show", "replay", "discard"]) {
      const { code, stderr } = await inProcess(["dead-letters", command, "no-such", "--url", url]);
      expect({ command, code }).toEqual({ command, code: 1 });
      expect(stderr).toContain("BUS_NOT_FOUND");
    }
  });
});
