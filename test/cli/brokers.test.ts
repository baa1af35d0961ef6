import { setTimeout } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { Broker } from "../../scripts/brokers/broker.ts";
import { connect } from "../../src/index.ts";
import { testBroker } from "../support/test-broker.ts";
import { inProcess } from "./in-process.ts";
import { cli, jsonLines, startCli } from "./run-cli.ts";

const brokers = {
  nats: { plain: await testBroker("nats"), locked: await testBroker("nats", { variant: "password" }) },
  redis: { plain: await testBroker("redis"), locked: await testBroker("redis", { variant: "password" }) },
  postgres: { plain: await testBroker("postgres"), locked: await testBroker("postgres", { variant: "password" }) },
  rabbitmq: { plain: await testBroker("rabbitmq"), locked: await testBroker("rabbitmq", { variant: "password" }) },
  kafka: { plain: await testBroker("kafka"), locked: await testBroker("kafka", { variant: "scram-256" }) },
};
const secret = "hunter2";
const oneLine = /^omnibus: [^\n]+\n$/u;
const noClients = new URL("no-clients.mjs", import.meta.url).href;

let prefixes = 0;
const fresh = ({ url }: Broker): readonly string[] => ["--url", url, "--prefix", `cli-${process.pid}-${++prefixes}`];
describe.each(Object.entries(brokers))("the command line over %s", (name, { plain, locked }) => {
  it.skipIf(plain === undefined)("publishes, tails, looks, and takes care of dead letters", async () => {
    const where = fresh(plain!);
    const run = (...args: string[]): ReturnType<typeof inProcess> => inProcess([...args, ...where]);

    const published = await run("publish", "orders.placed", '{"orderId":"o-1"}', "--key", "o-1", "--id", "id-1");
    expect(published).toMatchObject({ code: 0, stderr: "" });
    expect(jsonLines(published.stdout)).toMatchObject([{ id: "id-1", driver: name, stored: "broker" }]);
    const tail = await run("tail", "orders.>", "--group", "look", "-n", "1");
    expect(jsonLines(tail.stdout)).toMatchObject([{ id: "id-1", key: "o-1", data: { orderId: "o-1" } }]);

    await using bus = await connect(plain!.url, { prefix: where.at(-1)!, retry: { maxAttempts: 1 } });
    const dead = new Promise<void>((resolve) => {
      bus.onStatus(({ type }) => type === "dead-lettered" && resolve());
    });
    const fails = async (): Promise<never> => Promise.reject(new Error("no carrier"));
    await bus.subscribePattern("orders.>", fails, { group: "shipping" });
    await dead;
    const letters = jsonLines((await run("dead-letters", "list")).stdout);
    expect(letters).toMatchObject([{ id: "shipping/id-1", group: "shipping", topic: "orders.placed" }]);

    expect(jsonLines((await run("streams")).stdout)).toMatchObject([
      { name: "events", messages: 1, groups: expect.arrayContaining(["look", "shipping"]) as unknown },
    ]);
    const groups = jsonLines((await run("groups")).stdout);
    expect(groups.find(({ group }) => group === "shipping")).toMatchObject({
      patterns: ["orders.>"],
      members: [{ pid: process.pid }],
    });
    const health = await cli(["health", ...where]);
    expect(health).toMatchObject({ code: 0, stderr: "" });
    expect(jsonLines(health.stdout)).toMatchObject([{ status: "up", driver: name }]);
    expect(await run("dead-letters", "discard", "shipping/id-1")).toMatchObject({ code: 0, stderr: "" });
    expect((await run("dead-letters", "list")).stdout).toBe("");
  });

  it.skipIf(plain === undefined)("tails what comes until it is interrupted", async () => {
    const where = fresh(plain!);
    await using bus = await connect(plain!.url, { prefix: where.at(-1)! });
    const tail = startCli(["tail", "a.>", ...where]);
    const came = tail.saw('"here"').then(() => true);
    const published = async (): Promise<boolean> => {
      await bus.publishTopic("a.b", "here");
      return Promise.race([came, setTimeout(100, false)]);
    };
    while (!(await published())); // it gets what comes after it
    tail.child.kill("SIGINT");
    expect(await tail.ended).toMatchObject({ code: 130, stderr: "" });
  });

  it.skipIf(plain === undefined)("says in one line that there is no bus, and makes none", async () => {
    const where = fresh(plain!);
    for (const command of [["streams"], ["groups"], ["dead-letters", "list"], ["tail", ">"]]) {
      const { code, stdout, stderr } = await inProcess([...command, ...where]);
      expect({ command, code, stdout }).toEqual({ command, code: 1, stdout: "" });
      expect(stderr).toMatch(
        /^omnibus: BUS_NOT_FOUND: there is no bus with the prefix [^\n]+ at this url yet[^\n]+\n$/u,
      );
      expect(stderr.length).toBeLessThan(300);
    }
    const { stderr } = await inProcess(["streams", ...where, "--verbose"]);
    expect(stderr).toMatch(/caused by: .*(?:missing at the server|there is no (?:queue|topic) |no table )/u);
  });

  it.skipIf(locked === undefined)("takes a login from the url, and says in one line that it is wrong", async () => {
    const right = await inProcess(["publish", "a.b", "1", "--url", locked!.url]);
    expect(right).toMatchObject({ code: 0, stderr: "" });
    const wrong = locked!.url.replace(":secret@", `:${secret}@`);
    expect(wrong).not.toBe(locked!.url);
    for (const args of [["health"], ["publish", "a.b", "1"], ["tail", ">"]]) {
      const { code, stdout, stderr } = await inProcess([...args, "--url", wrong]);
      expect({ args, code }).toEqual({ args, code: 1 });
      expect(stderr).toMatch(oneLine);
      expect(stderr).toContain("BUS_AUTHENTICATION");
      expect(stdout + stderr).not.toContain(secret);
    }
  });

  it("says in one line that no broker is there, without the password", async () => {
    const url = `${name === "rabbitmq" ? "amqp" : name}://app:${secret}@127.0.0.1:1`;
    for (const args of [["health"], ["publish", "a.b", "1"], ["tail", ">", "--verbose"]]) {
      const { code, stdout, stderr } = await inProcess([...args, "--url", url, "--timeout", "300"]);
      expect({ args, code }).toEqual({ args, code: 1 });
      if (!args.includes("--verbose")) expect(stderr).toMatch(oneLine);
      expect(stderr).toContain("omnibus: BUS_CONNECTION: connecting to ");
      expect(stdout + stderr).not.toContain(secret);
    }
  });

  it("says in one line which package is missing, and the command that brings it", async () => {
    const { code, stderr } = await cli(
      ["health", "--url", `${name === "rabbitmq" ? "amqp" : name}://app:${secret}@127.0.0.1:1`],
      {
        env: { NODE_OPTIONS: `--import ${noClients}` },
      },
    );
    expect(code).toBe(1);
    // before Node 24 the hooks hide the package from the driver only, not from the look whether it is there
    expect(stderr).toMatch(
      /^omnibus: BUS_CLIENT_MISSING: (?:connecting \(\w+\): )?the driver "\w+" needs [^\n]+: npm install [^\n]+\n$/u,
    );
    expect(stderr).not.toContain(secret);
  });
});
