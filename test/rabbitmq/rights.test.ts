import { readFileSync } from "node:fs";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import { type Bus, type BusOptions, connect } from "../../src/index.ts";
import { until } from "../../src/testing/until.ts";
import { failureOf, Seen, Tick } from "../support/events.ts";
import { isLocal, rabbitCommand } from "../support/rabbitmq-command.ts";
import { freshPrefix } from "../support/rabbitmq-session.ts";
import { assertLives } from "../support/service-life.ts";
import { testBroker } from "../support/test-broker.ts";
import { withinTwoSeconds } from "../support/within-two-seconds.ts";

vi.setConfig({ testTimeout: 60_000 });

const broker = await testBroker("rabbitmq");

type Rights = readonly [configure: string, write: string, read: string];

/** Of docs/rabbitmq.md: of who makes what it needs, and of who makes next to nothing. */
function documentedRights(prefix: string): readonly [Rights, Rights] {
  const commands = readFileSync("docs/rabbitmq.md", "utf8").match(/^rabbitmqctl set_permissions app .*$/gm) ?? [];
  const rights = commands.map((command) =>
    [...command.matchAll(/'([^']*)'/g)].map(([, pattern = ""]) => pattern.replaceAll("omnibus", prefix)),
  );
  return rights as unknown as [Rights, Rights];
}

/** A user of this test's own. */
async function userWith(prefix: string, rights: Rights): Promise<(options?: BusOptions) => Promise<Bus>> {
  const user = `app-${prefix}`;
  await rabbitCommand(broker!, "add_user", user, "secret");
  onTestFinished(() => rabbitCommand(broker!, "delete_user", user).then(() => undefined));
  await rabbitCommand(broker!, "set_permissions", user, ...rights);
  return (options = {}) => busOf(prefix, { username: user, password: "secret" }, options);
}

async function busOf(
  prefix: string,
  login: { readonly username?: string; readonly password?: string } = {},
  options: BusOptions = {},
): Promise<Bus> {
  const bus = await connect({ driver: rabbitmq({ url: broker!.url, ...login }), prefix, ...options });
  onTestFinished(() => bus.close({ timeoutMs: 2_000 }).then(() => undefined));
  return bus;
}

describe.skipIf(!isLocal(broker))("a user with few rights, at RabbitMQ", () => {
  it("those that docs/rabbitmq.md names are enough for everything", async () => {
    const prefix = freshPrefix();
    const [rights] = documentedRights(prefix);
    const join = await userWith(prefix, rights);
    const warned: unknown[] = [];
    const warn = (...what: readonly unknown[]): void => void warned.push(what);
    const logger = { debug: () => undefined, info: () => undefined, warn, error: warn };
    const bus = await join({ logger });
    await assertLives(bus);
    await bus.streams.ensure({ name: "orders", topics: ["orders.>"] });
    expect(await bus.groups.delete("f")).toBe(true);
    expect(await bus.streams.delete("orders")).toBe(true);
    expect(JSON.stringify(warned)).not.toContain("AUTHENTICATION");
  });

  it("those that it names for manage: verify are enough where everything is there", async () => {
    const prefix = freshPrefix();
    await assertLives(await busOf(prefix));
    const [, rights] = documentedRights(prefix);
    const join = await userWith(prefix, rights);
    const error = await withinTwoSeconds(() => failureOf(join()));
    expect(error).toMatchObject({ code: "BUS_AUTHENTICATION", retryable: false });
    const bus = await join({ manage: "verify" });
    await assertLives(bus);
    // the past of a group that somebody else makes is copied by whoever gets the job
    const maker = await busOf(prefix);
    for (const order of ["group", "none"] as const) {
      const past = new Seen();
      await maker.subscribe(Tick, past.handle, { group: `past-${order}`, order });
      await until(() => past.count > 0, `the past of a group of order ${order}`, 20_000);
    }
  });

  it("one who may not write is refused what he publishes, and goes on reading", async () => {
    const prefix = freshPrefix();
    const writer = await busOf(prefix);
    await writer.subscribe(Tick, () => undefined, { group: "g" });
    const [, [configure, write, read]] = documentedRights(prefix);
    const others = write.replace("(", `(?!${prefix}\\.s\\.)(`);
    const join = await userWith(prefix, [configure, others, read]);
    const bus = await join({ manage: "verify" });
    const tail = new Seen();
    await bus.subscribe(Tick, tail.handle);
    const error = await failureOf(bus.publish(Tick, { n: 1 }));
    expect(error).toMatchObject({ code: "BUS_AUTHENTICATION", outcome: "rejected" });
    await writer.publish(Tick, { n: 2 });
    await until(() => tail.count === 1, "what another publishes", 10_000);
  });
});
