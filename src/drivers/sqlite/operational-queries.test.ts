import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { groupSpec, joinGroup, numbered, publish, until } from "../../../test/support/driver-harness.ts";
import { newWorld } from "../../../test/support/sqlite-world.ts";

const page = readFileSync(new URL("../../../docs/sqlite.md", import.meta.url), "utf8");
const queries = (/```sql\n([\s\S]*?)```/.exec(page)?.[1] ?? "")
  .split(";")
  .map((text) => text.trim())
  .filter((text) => text !== "");

describe("the operational queries of docs/sqlite.md", () => {
  it("run on a bus at work, and only read", async () => {
    const world = newWorld();
    const { connection } = await world.connect();
    for (const order of ["none", "group"] as const) {
      await connection.ensureGroup(groupSpec(order, { order }));
      await joinGroup(connection, order);
    }
    const sent = publish(connection, numbered(5));
    await until(() => sent.every(({ outcome }) => outcome === "stored"), "all");
    const database = world.raw();
    database.exec("PRAGMA query_only = ON");
    const answers = queries.map((query) => database.prepare(query).all());
    database.close();
    expect(queries.length).toBeGreaterThan(7);
    expect(answers[0]).toMatchObject([{ name: "events", messages: 5 }, { name: "none" }, { name: "group" }]);
    expect(answers[1]).toHaveLength(2);
    expect(answers.at(-1)).toEqual([{ integrity_check: "ok" }]);
  });
});
