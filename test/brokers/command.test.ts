import { delimiter } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { command as runCommand } from "../../scripts/brokers/command.ts";
import { parseCommandLine } from "../../scripts/brokers/command-line.ts";
import { listInstances } from "../../scripts/brokers/instances.ts";
import { isAlive } from "../../scripts/brokers/process-identity.ts";
import { membersOf } from "../../scripts/brokers/server-family.ts";
import { redisCommand } from "../../scripts/brokers/redis-command.ts";
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import { brokersHome } from "../support/brokers-home.ts";
import { fakeExecutable, temporaryFolder } from "../support/fake-executable.ts";
import { hasBroker, testBroker } from "../support/test-broker.ts";
import { hands } from "./hands.ts";

const home = brokersHome();
const available = await testBroker("redis", { own: true });
const program = new URL("../../scripts/brokers/main.ts", import.meta.url).pathname;

async function brokersWith(env: Readonly<Record<string, string>>, ...args: readonly string[]): Promise<string> {
  const { ok, output } = await runCommand(process.execPath, [program, ...args], {
    env: { NODE_NO_WARNINGS: "1", OMNIBUS_TEST_REDIS_URL: "", ...env }, // Node 22 warns of its SQLite
  });
  return `${ok ? "" : "failed: "}${output}`;
}
const brokers = (...args: readonly string[]): Promise<string> => brokersWith({}, ...args);
const urlIn = (output: string): string => /redis:\/\/\S+/.exec(output)?.[0] ?? output;
const port = (url: string): number => Number(new URL(url).port);

describe.skipIf(available === undefined)("npm run brokers", () => {
  afterAll(() => brokers("stop"));

  it("starts one that outlives it, once however often and at the same time it is asked to", async () => {
    // A slow one: the second command comes while the first one waits for it.
    const real = available?.origin ?? "";
    const slow = real.startsWith("/")
      ? fakeExecutable("redis-server", `[ "$1" = --version ] || sleep 1\nexec ${real} "$@"`)
      : "";
    const env = { PATH: [slow, process.env["PATH"]].join(delimiter) };
    const [url = "", ...others] = (
      await Promise.all([brokersWith(env, "start", "redis"), brokersWith(env, "start", "redis")])
    ).map(urlIn);
    expect(others).toEqual([url]);
    expect(await redisCommand(port(url), "PING")).toBe("+PONG\r\n");
    expect(urlIn(await brokers("start", "redis"))).toBe(url);
    expect(await brokers("start", "redis", "--env")).toBe(`OMNIBUS_TEST_REDIS_URL=${url}`);
    expect(listInstances().filter(({ owner }) => owner === null)).toHaveLength(1);
    expect(await brokers("stop", "redis")).toBe("stopped redis"); // the slow one is gone with this test
  });

  it("kills, restarts, pauses and resumes it on the same port and data", async () => {
    const url = urlIn(await brokers("start", "redis"));
    await redisCommand(port(url), "SET", "kept", "1");
    expect(await brokers("kill", "redis")).toBe(`redis  ${url}  down`);
    await expect(redisCommand(port(url), "PING")).rejects.toThrow("ECONNREFUSED");
    expect(await brokers("restart", "redis")).toBe(`redis  ${url}  running`);
    expect(await redisCommand(port(url), "GET", "kept")).toBe("$1\r\n1\r\n");
    expect(await brokers("pause", "redis")).toBe(`redis  ${url}  paused`);
    expect(urlIn(await brokers("start", "redis"))).toBe(url);
    expect(await brokers("pause", "redis")).toBe(`redis  ${url}  paused`);
    expect(await brokers("resume", "redis")).toBe(`redis  ${url}  running`);
    expect(await brokers("kill", "redis")).toBe(`redis  ${url}  down`);
    expect(urlIn(await brokers("start", "redis"))).toBe(url);
    expect(await redisCommand(port(url), "GET", "kept")).toBe("$1\r\n1\r\n");
    expect(await brokers("logs", "redis")).toContain("Ready to accept connections");
  });

  it("shows those of other processes, and leaves them alone", async () => {
    const kept = urlIn(await brokers("start", "redis"));
    await using own = await startBroker("redis", { own: true, variant: "no-append" });
    const status = await brokers("status");
    expect(status).toContain(`redis  ${kept}  running`);
    expect(status).toContain(`redis/no-append  ${own.url}  running`);
    expect(status).toContain(`of process ${process.pid}`);
    expect(await brokers("stop", "redis/no-append")).toBe("none was kept");
    expect(await redisCommand(port(own.url), "PING")).toBe("+PONG\r\n");
  });

  it("stops all that it kept, and their data is gone", async () => {
    const url = urlIn(await brokers("start", "redis"));
    const pids = listInstances().flatMap(({ owner, processes }) => (owner === null ? processes : []));
    expect(await brokers("stop")).toBe("stopped redis");
    expect(pids.map((pid) => pid !== null && isAlive(pid))).toEqual([false]);
    expect(listInstances().filter(({ owner }) => owner === null)).toEqual([]);
    expect(await brokers("kill", "redis")).toBe("failed: redis was not started: npm run brokers -- start redis");
    const again = urlIn(await brokers("start", "redis"));
    expect(await redisCommand(port(again), "GET", "kept")).toBe("$-1\r\n");
    expect(again).not.toBe(url);
  });
});

const slow = ["postgres", "rabbitmq", "kafka"] as const;
const hasAll = (await Promise.all(slow.map(hasBroker))).every(Boolean);

it.runIf(hasAll)(
  "several are started by one command, each once, and stopped by one",
  { timeout: 180_000 },
  async () => {
    const env = Object.fromEntries(slow.map((name) => [`OMNIBUS_TEST_${name.toUpperCase()}_URL`, ""]));
    const lines = async (): Promise<readonly string[]> =>
      (await brokersWith(env, "start", ...slow, "--env")).split("\n");
    const started = await lines();
    expect(started.toSorted()).toEqual([
      expect.stringMatching(/^OMNIBUS_TEST_KAFKA_URL=kafka:\/\/127\.0\.0\.1:\d+$/),
      expect.stringMatching(/^OMNIBUS_TEST_POSTGRES_URL=postgres:\/\/omnibus@127\.0\.0\.1:\d+\/postgres$/),
      expect.stringMatching(/^OMNIBUS_TEST_RABBITMQ_URL=amqp:\/\/127\.0\.0\.1:\d+$/),
    ]);
    for (const name of slow) {
      const url = started.find((line) => line.includes(name.toUpperCase()))?.replace(/^\w+=/, "") ?? "";
      await hands[name].ask(port(url));
    }
    expect((await lines()).toSorted()).toEqual(started.toSorted());
    const kept = listInstances().filter(({ owner }) => owner === null);
    const processes = membersOf({
      started: kept.flatMap((each) => each.processes).filter((each) => each !== null),
      folder: home,
      programs: [],
    });
    expect(processes.length).toBeGreaterThan(slow.length);
    expect((await brokers("stop")).replace("stopped ", "").split(", ").toSorted()).toEqual([
      "kafka",
      "postgres",
      "rabbitmq",
    ]);
    expect(processes.filter(isAlive)).toEqual([]);
  },
);

it("says in one line what can't be had, and fails", async () => {
  const env = {
    PATH: fakeExecutable("nats-server", `echo "nats-server: v2.9.10"`),
    XDG_CACHE_HOME: temporaryFolder(),
    OMNIBUS_TEST_INSTALL: "0",
    OMNIBUS_TEST_NATS_2_10_URL: "",
    NODE_NO_WARNINGS: "1",
  };
  const { ok, output } = await runCommand(process.execPath, [program, "start", "nats@2.10"], { env });
  expect(ok).toBe(false);
  expect(output).toMatch(/^nats@2\.10 can't be had: \S+ is 2\.9\.10, and 2\.10\.0 is the lowest that works; [^\n]+$/);
});

describe("its command line", () => {
  it("reads names with releases and variants", () => {
    const line = parseCommandLine(["start", "nats", "nats@2.10/mtls", "redis/cluster", "nats", "--env"]);
    expect(line?.wanted.map(({ label }) => label)).toEqual(["nats", "nats@2.10/mtls", "redis/cluster"]);
    expect([line?.command, line?.env]).toEqual(["start", true]);
    expect(parseCommandLine(["stop"])?.wanted).toEqual([]);
    expect(parseCommandLine(["start", "--help"])).toBeUndefined();
  });

  it.each([
    [[], "which command?"],
    [["begin", "nats"], "there is no command begin"],
    [["start"], "start which broker?"],
    [["kill"], "kill which broker?"],
    [["start", "pigeons"], "there is no broker pigeons: nats, redis, postgres, rabbitmq, kafka"],
    [["start", "nats@1.0"], "there is no nats@1.0: newest, 2.10"],
    [["start", "redis/nkey"], "there is no redis/nkey: plain, "],
    [["start", "toString"], "there is no broker toString"],
    [["start", ""], '"" is no broker'],
    [["start", "nats", "--wrong"], "Unknown option '--wrong'"],
  ])("refuses %j", (args, message) => {
    expect(() => parseCommandLine(args)).toThrow(message);
  });
});
