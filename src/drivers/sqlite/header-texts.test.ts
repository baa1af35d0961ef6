import { describe, expect, it } from "vitest";
import { consume, numbered, outgoing, publish, toTopic, until } from "../../../test/support/driver-harness.ts";
import { newWorld } from "../../../test/support/sqlite-world.ts";
import type { Headers } from "../../driver.ts";

const headers: Headers = [["content-type", "application/cloudevents+json"]];

describe("headers in a log", () => {
  it("are kept once when they come often, and read by everybody", async () => {
    const world = newWorld();
    const { connection } = await world.connect();
    const other = (await world.connect({ streams: [] })).connection;
    const tail = await consume(other, { kind: "tail", stream: "events", from: { at: "oldest" }, resume: undefined });
    await tail.consumption.wants([">"], []);
    const sent = [
      ...publish(connection, numbered(20), { headers }),
      ...publish(other, numbered(20), { headers: [...headers] }),
    ];
    publish(connection, ["none"]);
    await until(() => tail.sink.messages.length === 41, "all");
    expect(new Set(sent.map(({ outcome }) => outcome))).toEqual(new Set(["stored"]));
    expect(
      tail.sink.messages
        .filter((message) => message.headers().length > 0)
        .every((message) => message.header("content-type") === "application/cloudevents+json"),
    ).toBe(true);
    expect(tail.sink.messages.find((message) => message.headers().length === 0)).toBeDefined();
    expect(world.rows("SELECT text FROM omnibus_header_text")).toEqual([{ text: JSON.stringify(headers) }]);
    expect(
      world.rows("SELECT count(*) AS count FROM omnibus_log_1 WHERE typeof(headers) = 'integer'")[0]!["count"],
    ).toBeGreaterThan(30);
  });

  it("are kept with their message when they are seldom, long, or many", async () => {
    const world = newWorld();
    const { connection } = await world.connect();
    const each = (n: number): Headers => [["trace", `t-${n}`]];
    const sent = Array.from({ length: 300 }, (_, n) => outgoing(toTopic("a"), String(n), { headers: each(n) }));
    const long = Array.from({ length: 5 }, (_, n) =>
      outgoing(toTopic("a"), `long ${n}`, { headers: [["long", "x".repeat(300)]] }),
    );
    connection.send([...sent, ...long].map(({ message }) => message));
    await until(() => long.every(({ outcome }) => outcome === "stored"), "all");
    expect(world.count("header_text")).toBe(0);
    // No more than so many ever get a number.
    for (let n = 0; n < 300; n += 1) publish(connection, numbered(4), { headers: each(n) });
    const [last] = publish(connection, ["last"], { headers: each(299) });
    await until(() => last!.outcome === "stored", "all");
    expect(world.count("header_text")).toBeLessThanOrEqual(256);
    const tail = await consume(
      connection,
      { kind: "tail", stream: "events", from: { at: "oldest" }, resume: undefined },
      { messages: 5_000, bytes: 1e9 },
    );
    await until(
      () => tail.sink.texts.includes("last"),
      () => `the last; ${tail.sink.messages.length} ${JSON.stringify(tail.sink.ends)} ${last!.outcome}`,
    );
    expect(tail.sink.messages.at(-1)!.header("trace")).toBe("t-299");
  });

  it("lose no number when the transaction that gave it is undone", async () => {
    const world = newWorld();
    const { connection } = await world.connect();
    const client = connection.client as ReturnType<typeof world.raw>;
    const { page_count } = client.prepare("PRAGMA page_count").get() as { readonly page_count: number };
    client.exec(`PRAGMA max_page_count = ${page_count}`);
    const refused = publish(connection, [...numbered(5), "x".repeat(200_000)], { headers });
    await until(() => refused.every(({ outcome }) => outcome !== "waiting"), "the refusal");
    expect(refused[0]!.outcome).toBe("no");
    client.exec("PRAGMA max_page_count = 100000");
    const sent = publish(connection, numbered(5), { headers });
    await until(() => sent.every(({ outcome }) => outcome !== "waiting"), "the receipts");
    const other = (await world.connect({ streams: [] })).connection;
    const tail = await consume(other, { kind: "tail", stream: "events", from: { at: "oldest" }, resume: undefined });
    await until(() => tail.sink.messages.length === 5, "all");
    expect(tail.sink.messages.map((message) => message.header("content-type"))).toEqual(
      Array.from({ length: 5 }, () => "application/cloudevents+json"),
    );
  });
});
