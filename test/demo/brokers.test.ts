import { describe, expect, it } from "vitest";
import { schemes } from "../../scripts/demo/broker-schemes.ts";
import { testBroker } from "../support/test-broker.ts";
import { demo, small } from "./run-demo.ts";

const names = ["nats", "redis", "postgres", "rabbitmq", "kafka"] as const;
const started = new Map<string, Awaited<ReturnType<typeof testBroker>>>();
for (const name of names) started.set(name, await testBroker(name));
const secret = "hunter2";

describe.each(names)("npm run demo over %s", (name) => {
  const broker = started.get(name);
  it.skipIf(broker === undefined)(
    "proves every event of every group although it kills its worker, given a url",
    { timeout: 90_000 },
    async () => {
      const { code, output } = await demo([...small, "--url", broker!.url]);
      expect(output).toContain(`over ${name}`);
      expect(output).toMatch(/^killed +worker 1 by SIGKILL, \d+ of 1,200 handled/mu);
      expect(output.match(/ok {2}400 of 400 ids · in order in 40 repositories/gu)).toHaveLength(3);
      expect(output).toContain("Every event was handled by every group, in order per repository.");
      expect(code).toBe(0);
    },
  );

  it.skipIf(broker === undefined)("starts the broker itself when it is named", { timeout: 90_000 }, async () => {
    const { code, output } = await demo([name, ...small]);
    expect(output).toContain(`over ${name}`);
    expect(output.match(/ok {2}400 of 400 ids/gu)).toHaveLength(3);
    expect(code).toBe(0);
  });

  // of the demo's own judgement, whoever carries it
  it.skipIf(broker === undefined || name !== "nats")("notices what goes wrong", { timeout: 90_000 }, async () => {
    const { code, output } = await demo([...small, "--url", broker!.url], "lose");
    expect(output).toContain("missing: ");
    expect(code).toBe(1);
  });

  it("says in two lines that no broker is there, and how to get one, and leaves nothing", async () => {
    const { code, output } = await demo([...small, "--url", `${schemes[name].plain}://omnibus:${secret}@127.0.0.1:1`]);
    expect(output).toMatch(/^demo: BUS_CONNECTION: connecting to [^\n]+\nTo have one: [^\n]+\n$/u);
    expect(output).toContain(`npm run demo -- ${name}`);
    expect(output).toContain(`npm run brokers -- start ${name}`);
    expect(output).not.toContain(secret);
    expect(code).toBe(1);
  });
});

it("refuses a broker that there is none of, two, and one beside a url", async () => {
  expect(await demo(["carrier-pigeon"])).toMatchObject({
    code: 2,
    output: expect.stringContaining("nats, redis, postgres, rabbitmq, kafka"),
  });
  expect((await demo(["nats", "redis"])).code).toBe(2);
  expect((await demo(["nats", "--url", "memory:"])).code).toBe(2);
  expect((await demo(["nats/password"])).code).toBe(2);
});
