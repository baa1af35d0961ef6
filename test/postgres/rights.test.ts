import { readFileSync } from "node:fs";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import { postgresSchema } from "../../src/drivers/postgres/index.ts";
import { type Bus, type BusOptions, connect } from "../../src/index.ts";
import { freshSchema, refusal } from "../support/postgres-world.ts";
import { assertLives } from "../support/service-life.ts";
import { testBroker } from "../support/test-broker.ts";

vi.setConfig({ testTimeout: 60_000 });

const broker = await testBroker("postgres");
const port = broker?.servers[0]?.port ?? 0;
let users = 0;

/** The commands of docs/postgres.md, of another schema and user. */
const documentedGrants = (schema: string, user: string): readonly string[] =>
  (readFileSync("docs/postgres.md", "utf8").match(/^GRANT .*;$/gm) ?? []).map((line) =>
    line.replaceAll("SCHEMA public", `SCHEMA ${schema}`).replaceAll("TO app", `TO ${user}`),
  );

/** A user who owns nothing, with the documented rights. */
async function limited(schema: string): Promise<(options?: BusOptions) => Promise<Bus>> {
  const user = `app_${process.pid}_${(users += 1)}`;
  await postgresCommand(port, `CREATE ROLE ${user} LOGIN`);
  for (const grant of documentedGrants(schema, user)) await postgresCommand(port, grant);
  return async (options = {}) => {
    const { manage = "verify", ...more } = options;
    const bus = await connect(broker!.url, { postgres: { schema, username: user }, manage, ...more });
    onTestFinished(() => bus.close({ timeoutMs: 2_000 }).then(() => undefined));
    return bus;
  };
}

describe.skipIf(broker === undefined)("a user with few rights, at PostgreSQL", () => {
  it("what docs/postgres.md grants is enough for everything, of tables that somebody else made by postgresSchema", async () => {
    const schema = await freshSchema(port);
    const join = await limited(schema);
    await expect(join()).rejects.toMatchObject({
      code: "BUS_NOT_FOUND",
      message: expect.stringContaining("postgresSchema()") as string,
    });
    await postgresCommand(port, postgresSchema(schema));
    await postgresCommand(port, postgresSchema(schema)); // again, which changes nothing
    const open = await limited(schema);
    await assertLives(await open({ manage: "create" }), true);
    await assertLives(await open(), true);
  });

  it("one without them is refused at once and for good", async () => {
    const schema = await freshSchema(port);
    await postgresCommand(port, postgresSchema(schema));
    const user = `none_${process.pid}`;
    await postgresCommand(port, `CREATE ROLE ${user} LOGIN`);
    expect(await refusal({ url: broker!.url, schema, username: user })).toBe("BUS_AUTHENTICATION");
  });

  it("names that PostgreSQL can't have are refused, and others are quoted", () => {
    expect(() => postgresSchema("it's")).toThrow(/quote/);
    expect(() => postgresSchema("public", "p".repeat(64))).toThrow(/bytes/);
    expect(postgresSchema('my "own"', "shop")).toContain('CREATE TABLE "my ""own"""."shop_log"');
  });
});
