import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { bigintArray, bytesArray, smallintArray, textArray } from "../../src/drivers/postgres/binary-array.ts";
import { brokerKey } from "../../src/drivers/postgres/broker-key.ts";
import type { Link } from "../../src/drivers/postgres/link.ts";
import { checkLayout, creation, prepareLayout, schemaFile } from "../../src/drivers/postgres/migrate.ts";
import { layoutVersion, Names } from "../../src/drivers/postgres/names.ts";
import { until } from "../../src/testing/until.ts";
import { clock, connect, out, send, type Told, world, worldsAt } from "../support/postgres-log.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("postgres");
worldsAt(broker?.url);

let count = 0;

const positionsOf = (told: readonly Told[]): readonly unknown[] => told.map(([, position]) => position);

describe.skipIf(broker === undefined)("the layout", () => {
  it("is made by one of many who start at once, found whole by the others, and checked", async () => {
    const names = new Names("public", `layout-${(count += 1)}`);
    const all = await Promise.all(Array.from({ length: 8 }, () => connect()));
    await Promise.all(all.map((link) => prepareLayout(link, names, "create")));
    const [link] = all;
    expect(await link!.query(names.fill("SELECT count(*) FROM {meta}"))).toEqual([["4"]]);
    await prepareLayout(link!, names, "verify");
    await link!.query(names.fill("DROP FUNCTION {1:find}; DROP TABLE {schedule}"));
    await expect(prepareLayout(link!, names, "verify")).rejects.toThrow(
      "missing at the server: table schedule, function find",
    );
    await link!.query(names.fill(`UPDATE {meta} SET value = '${layoutVersion + 1}' WHERE key = 'layout'`));
    await expect(prepareLayout(link!, names, "create")).rejects.toMatchObject({ code: "BUS_CONFLICT" });
  });

  it("is brought up to date by one of many who start at once, with what is published for later", async () => {
    const names = new Names("public", `layout-${(count += 1)}`);
    const all = await Promise.all(Array.from({ length: 4 }, () => connect()));
    const [link] = all;
    await prepareLayout(link!, names, "create");
    const uuid = "0193e3a6-7e5c-7b5a-9d9a-0242ac120002";
    await link!.query(
      names.fill(`ALTER TABLE {delayed} DROP COLUMN event; DROP INDEX {claim_free}, {schedule_due}; UPDATE {meta} SET value = '1' WHERE key = 'layout';
        CREATE INDEX "${names.prefix}_claim_free" ON {claim} (grp) WHERE member IS NULL;
        CREATE INDEX "${names.prefix}_schedule_due" ON {schedule} (not_before, n);
        INSERT INTO {delayed} (due, stream, partition, broker, topic, body) VALUES (7, 1, 0, '\\x${uuid.replaceAll("-", "")}', 'a', '')`),
    );
    for (const manage of ["verify", "off"] as const) {
      const looked = prepareLayout(link!, names, manage).then(() => checkLayout(link!, names));
      await expect(looked).rejects.toThrow(
        new RegExp(`layout 1, this version needs ${layoutVersion}.*manage "create"`),
      );
    }
    await Promise.all(all.map((each) => prepareLayout(each, names, "create")));
    await prepareLayout(link!, names, "verify");
    expect(await link!.query(names.fill("SELECT event FROM {delayed}"))).toEqual([[uuid]]);
    expect(await link!.query(names.fill("SELECT value FROM {meta} WHERE key = 'layout'"))).toEqual([
      [String(layoutVersion)],
    ]);
    expect(
      await link!.query(`SELECT count(*) FROM pg_indexes WHERE indexname = '${names.prefix}_delayed_event'`),
    ).toEqual([["1"]]);
    const indexes = `SELECT indexdef FROM pg_indexes WHERE indexname IN ('${names.prefix}_claim_free', '${names.prefix}_schedule_due') ORDER BY indexname`;
    expect(await link!.query(indexes)).toEqual([
      [expect.stringMatching(/\(grp, stream, partition, first\) WHERE \(member IS NULL\)$/)],
      [expect.stringMatching(/\(COALESCE\(not_before, .*\), n\)$/)],
    ]);
  });

  it("is missing by name where nothing may be made, and not asked for where it is assumed", async () => {
    const names = new Names("public", `layout-${(count += 1)}`);
    const link = await connect();
    await expect(prepareLayout(link, names, "verify")).rejects.toThrow(
      /missing at the server: table meta.*postgresSchema\(\)/,
    );
    await prepareLayout(link, names, "off");
    await link.query(creation(names));
    await prepareLayout(link, names, "verify");
  });

  it("is made by hand from the file", async () => {
    const file = readFileSync("docs/postgres-schema.sql", "utf8");
    expect(file).toBe(schemaFile(new Names("public", "omnibus"))); // else: node scripts/postgres-schema.ts
    const maker = await connect();
    await maker.query(`CREATE DATABASE "by-hand"`);
    const link = await connect("by-hand");
    await link.query(file);
    await prepareLayout(link, new Names("public", "omnibus"), "verify");
  });
});

describe.skipIf(broker === undefined)("arrays in the server's own form", () => {
  it("come as they were given", async () => {
    const link = await connect();
    const [row] = await link.query(
      "SELECT to_json($1::text[]), to_json($2::bigint[]), to_json($3::smallint[]), encode(($4::bytea[])[2], 'hex'), ($4::bytea[])[3] IS NULL, cardinality($5::text[])",
      [
        textArray(["", "ä", null, 'a"{},\\']),
        bigintArray([0, -1, 2 ** 53 - 1, -(2 ** 40), null, 4_294_967_296]),
        smallintArray([3, -4]),
        bytesArray([new Uint8Array(0), Uint8Array.of(0, 255, 13), null]),
        textArray([]),
      ],
    );
    expect(row).toEqual([
      '["","ä",null,"a\\"{},\\\\"]',
      "[0,-1,9007199254740991,-1099511627776,null,4294967296]",
      "[3,-4]",
      "00ff0d",
      "t",
      "0",
    ]);
  });
});

describe.skipIf(broker === undefined)("append", () => {
  it("gives positions without gaps in each partition, in call order, and stores what was sent", async () => {
    const { names, link, sender } = await world();
    const hashes = [2, 0, 2, 6, 1];
    const batch = hashes.map((hash, at) =>
      out({ hash, key: at === 0 ? "a\0\ud800" : `k${at}`, headers: at === 1 ? [["h", "\0"]] : [] }),
    );
    const sending = sender();
    expect(positionsOf(await send(sending, batch))).toEqual(["1", "1", "2", "3", "1"]);
    expect(positionsOf(await send(sending, [out({ hash: 2 }), out({ hash: 3, key: undefined })]))).toEqual(["4", "1"]);
    const rows = await link.query(
      names.fill("SELECT partition, seq, total, key, headers, convert_from(body, 'UTF8') FROM {log} ORDER BY 1, 2"),
    );
    const size = batch[0]!.message.body.byteLength;
    expect(rows.slice(2, 5)).toEqual([
      ["2", "1", String(size), '"a\\u0000\\ud800"', null, batch[0]!.message.id],
      ["2", "2", String(2 * size), "k2", null, batch[2]!.message.id],
      ["2", "3", String(3 * size), "k3", null, batch[3]!.message.id],
    ]);
    expect(rows[0]?.slice(3, 5)).toEqual(["k1", '[["h","\\u0000"]]']);
    expect(rows.at(-1)?.slice(0, 4)).toEqual(["3", "1", expect.any(String), null]);
  });

  it("recognises what it has: in one turn, later, in another partition, and waiting for its time", async () => {
    const { sender, link, names } = await world();
    const sending = sender();
    const twice = [out({ brokerId: "a" }), out({ brokerId: "a" }), out({ brokerId: "b" })];
    expect(await send(sending, twice)).toEqual([
      ["stored", "1", false],
      ["stored", "1", true],
      ["stored", "2", false],
    ]);
    const later = [out({ brokerId: "c" }), out({ brokerId: "b", hash: 1 }), out({ brokerId: "d" })];
    expect(await send(sending, later)).toEqual([
      ["stored", "3", false],
      ["stored", "2", true],
      ["stored", "4", false],
    ]);
    const due = { brokerId: "e", notBefore: clock.now() + 60_000 };
    expect(await send(sending, [out(due), out({ brokerId: "f" }), out({ ...due, brokerId: "a" })])).toEqual([
      ["stored", undefined, false],
      ["stored", "5", false],
      ["stored", "1", true],
    ]);
    expect(await send(sending, [out(due)])).toEqual([["stored", undefined, true]]);
    const [waiting] = await link.query(
      names.fill("SELECT due - floor(extract(epoch FROM clock_timestamp()) * 1000), partition FROM {delayed}"),
    );
    expect([Number(waiting?.[0]) > 50_000, Number(waiting?.[0]) <= 60_000, waiting?.[1]]).toEqual([true, true, "0"]);
  });

  it("asks for what is for later when the first of it is due, and not before", async () => {
    const { sender, link, names } = await world();
    const next = async (): Promise<unknown> => (await link.query(names.fill("SELECT * FROM {1:move_due}(10)")))[0];
    expect(await next()).toEqual(["0", null, "{}"]);
    await send(sender(), [out({ notBefore: clock.now() + 60_000 })]);
    expect(await next()).toEqual(["0", expect.stringMatching(/^5\d{4}$/), "{}"]);
  });

  it("stores an id again when the window is over", async () => {
    const { sender } = await world();
    const sending = sender(undefined, -1_000); // everything is too old
    await send(sending, [out({ brokerId: "a" })]);
    expect(await send(sending, [out({ brokerId: "a" })])).toEqual([["stored", "2", false]]);
  });

  it("stores as many as there is room for, in call order, and refuses the others", async () => {
    const { sender } = await world({ messages: 5 });
    const sending = sender();
    const told = await send(
      sending,
      [1, 2, 0, 3, 1, 0, 2].map((hash) => out({ hash })),
    );
    expect(told.slice(0, 5).map(([how]) => how)).toEqual(Array(5).fill("stored"));
    const full = ["no", expect.objectContaining({ code: "BUS_FULL", retryable: true })];
    expect(told.slice(5)).toEqual([full, full]);
    expect(await send(sending, [out()])).toEqual([full]);
    const small = await world({ bytes: 10 });
    const by = await send(
      small.sender(),
      [4, 6, 1].map((size) => out({ body: Buffer.alloc(size) })),
    );
    expect(by.map(([how]) => how)).toEqual(["stored", "stored", "no"]);
  });

  it("refuses one that the server can't take, and stores the others", async () => {
    const { sender } = await world();
    const bad = out({ to: { kind: "topic", stream: "events", topic: "a\0b" } });
    const told = await send(sender(), [out(), bad, out()]);
    expect(told[1]).toEqual(["no", expect.objectContaining({ code: "22021" })]);
    expect([told[0], told[2]]).toEqual([
      ["stored", "1", false],
      ["stored", "2", false],
    ]);
  });

  it("stores what is for later beside what the try before stored meanwhile, and beside what the server can't take", async () => {
    const { names, link, sender } = await world();
    const holder = await connect();
    await holder.query("BEGIN");
    await holder.query(
      names.fill(
        "INSERT INTO {delayed} (stream, due, partition, broker, topic, body) VALUES (1, 9000000000000, 0, $1, 't', '')",
      ),
      [brokerKey("a")],
    );
    const later = { notBefore: clock.now() + 60_000 };
    const sending = send(sender(), [out({ ...later, brokerId: "a" }), out(later)]);
    const other = await connect();
    await until(async () => {
      const waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'transactionid' AND query LIKE $1";
      return (await other.query(waits, [`%${names.prefix}_delayed%`])).length > 0;
    }, "it to wait for the one before");
    await holder.query("COMMIT");
    expect(await sending).toEqual([
      ["stored", undefined, true],
      ["stored", undefined, false],
    ]);
    const bad = out({ ...later, to: { kind: "topic", stream: "events", topic: "a\0b" } });
    const told = await send(sender(), [out(later), bad, out(later)]);
    expect(told.map(([how]) => how)).toEqual(["stored", "no", "stored"]);
    expect(await link.query(names.fill("SELECT count(*) FROM {delayed}"))).toEqual([["4"]]);
  });

  it("does not try each by itself what was refused for another reason", async () => {
    const { names, sender } = await world();
    const [holder, slow] = [await connect(), await connect()];
    await slow.query("SET statement_timeout = 100");
    await holder.query(`BEGIN; SELECT pg_advisory_xact_lock(${names.lock("append", 1)})`);
    let calls = 0;
    const counted: Link = {
      query: (text, values) => {
        if (text.includes("append")) calls += 1;
        return slow.query(text, values);
      },
    };
    const told = await send(sender(counted), [out(), out(), out()]);
    expect(told).toEqual(Array(3).fill(["no", expect.objectContaining({ code: "57014" })]));
    expect(calls).toBe(1);
    await holder.query("ROLLBACK");
  });

  it("makes a queue that is not there, and no stream", async () => {
    const { names, sender } = await world();
    const to = { kind: "queue", group: "shipping", topic: "t" } as const;
    const [one, other] = [sender(), sender(await connect())];
    const told = await Promise.all([send(one, [out({ to })]), send(other, [out({ to })])]);
    expect(positionsOf(told.flat()).toSorted()).toEqual(["1", "2"]);
    const unknown = out({ to: { kind: "topic", stream: "nothing", topic: "t" } });
    expect(await send(one, [unknown, out({ to })])).toEqual([
      ["no", expect.objectContaining({ code: "BUS_NOT_FOUND" })],
      ["stored", "3", false],
    ]);
    expect(names.prefix).not.toBe("");
  });

  it("knows nothing of what was under way when its connection was lost, and that what came later was not sent", async () => {
    const { names, link, sender } = await world();
    const [holder, lost] = [await connect(), await connect()];
    await holder.query(`BEGIN; SELECT pg_advisory_xact_lock(${names.lock("append", 1)})`);
    const sending = sender(lost);
    const [first, second] = [out(), out()];
    sending.send([first.message]);
    const waits = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'advisory' AND query LIKE $1";
    const pid = async (): Promise<string | null | undefined> =>
      (await link.query(waits, [`%${names.prefix}_1_append%`]))[0]?.[0];
    await until(async () => (await pid()) !== undefined, "it to wait");
    sending.send([second.message]);
    await link.query("SELECT pg_terminate_backend($1)", [(await pid()) ?? null]);
    await until(() => first.told.length + second.told.length === 2, "both to be told");
    expect(first.told).toEqual([["unknown", expect.objectContaining({ code: "57P01" })]]);
    expect(second.told).toEqual([["no", expect.objectContaining({ code: "BUS_CONNECTION" })]]);
  });
});
