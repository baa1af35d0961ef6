import { inspect } from "node:util";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import { type BusOptions, connect } from "../../src/index.ts";
import { freshName } from "../support/broker-worlds.ts";
import { failureOf, Tick } from "../support/events.ts";
import { isLocal, rabbitCommand } from "../support/rabbitmq-command.ts";
import { hasBroker, testBroker } from "../support/test-broker.ts";
import { withinTwoSeconds } from "../support/within-two-seconds.ts";

vi.setConfig({ testTimeout: 60_000 });

const [hasPostgres, hasRabbit] = [await hasBroker("postgres"), await hasBroker("rabbitmq")];
const word = "p@:/#%?&[ü ";

async function works(url: string, more: object = {}): Promise<void> {
  const bus = await connect(url, { prefix: freshName("n"), ...more } as BusOptions);
  onTestFinished(() => bus.close({ timeoutMs: 2_000 }).then(() => undefined));
  expect((await bus.publish(Tick, { n: 1 })).stream).toBe("events");
}

/** As one who was let in by it and by nothing else. */
async function assertOnlyBy(name: "postgres" | "rabbitmq", url: string): Promise<void> {
  const { host, pathname, protocol } = new URL(url);
  await works(`${protocol}//omnibus:${encodeURIComponent(word)}@${host}${pathname}`);
  await works(`${protocol}//${host}${pathname}`, { [name]: { username: "omnibus", password: word } });
  const error = await withinTwoSeconds(() => failureOf(connect(url, { prefix: freshName("n") })));
  expect(error).toMatchObject({ code: "BUS_AUTHENTICATION", retryable: false });
  expect(inspect(error, { depth: 12, showHidden: true })).not.toContain(":secret@");
}

describe("a password of signs that urls have uses for works when it is written as urls want it", () => {
  it.skipIf(!hasPostgres)("at PostgreSQL", async () => {
    await using broker = await startBroker("postgres", { own: true, variant: "password" });
    const { user = "", password = "" } = broker.login ?? {};
    await postgresCommand(broker.servers[0]!.port, `ALTER ROLE ${user} PASSWORD '${word}'`, { user, password });
    await assertOnlyBy("postgres", broker.url);
  });

  it.skipIf(!hasRabbit)("at RabbitMQ", async ({ skip }) => {
    await using broker = await startBroker("rabbitmq", { own: true, variant: "password" });
    if (!isLocal(broker)) skip();
    await rabbitCommand(broker, "change_password", "omnibus", word);
    await assertOnlyBy("rabbitmq", broker.url);
  });
});

const [plain, tls] = [
  await testBroker("rabbitmq", { own: true }),
  await testBroker("rabbitmq", { own: true, variant: "tls" }),
];
describe.skipIf(plain === undefined || tls === undefined)("TLS at RabbitMQ", () => {
  it("is never gone without where it was asked for, and asked for where it is wanted", async () => {
    const portOf = ({ url }: { readonly url: string }): string => new URL(url).port;
    for (const url of [`amqps://127.0.0.1:${portOf(plain!)}`, `amqp://127.0.0.1:${portOf(tls!)}`]) {
      const error = await failureOf(connect(url, { prefix: freshName("n"), connectTimeoutMs: 3_000 }));
      expect([url, error.code]).toEqual([url, expect.stringMatching(/^BUS_(AUTHENTICATION|CONNECTION|TIMEOUT)$/)]);
    }
  });
});
