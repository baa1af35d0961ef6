import { spawn } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type BrokerName, brokerKinds } from "../../scripts/brokers/broker-name.ts";
import { command } from "../../scripts/brokers/command.ts";
import { imageOf } from "../../scripts/brokers/container-engine.ts";
import { cacheFolder, stateFolder } from "../../scripts/brokers/folders.ts";
import {
  folderOf,
  type Instance,
  listInstances,
  sweepInstances,
  writeInstance,
} from "../../scripts/brokers/instances.ts";
import { statusLines, stopKept, withoutSecrets } from "../../scripts/brokers/kept-brokers.ts";
import { nats } from "../../scripts/brokers/nats.ts";
import { postgres } from "../../scripts/brokers/postgres.ts";
import { redis } from "../../scripts/brokers/redis.ts";
import { redisCommand } from "../../scripts/brokers/redis-command.ts";
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import { brokersHome } from "../support/brokers-home.ts";
import { temporaryFolder } from "../support/fake-executable.ts";
import { checkLoopback } from "../support/check-loopback.ts";
import { hasBroker } from "../support/test-broker.ts";
import { portOf } from "./hands.ts";

const home = brokersHome();
const has: Record<BrokerName, boolean> = {
  nats: await hasBroker("nats"),
  redis: await hasBroker("redis"),
  postgres: await hasBroker("postgres"),
  rabbitmq: await hasBroker("rabbitmq"),
  kafka: await hasBroker("kafka"),
};

afterEach(() => {
  vi.unstubAllEnvs();
  vi.stubEnv("OMNIBUS_BROKERS_DIR", home);
});

/** Where brokers live from now on in this test; what is left there goes with it. */
function livesIn(folder: string): string {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  vi.stubEnv("OMNIBUS_BROKERS_DIR", folder);
  return folder;
}

/** False: a folder, a pipe, or gone by now. */
const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() === true;

/** A record as another process left it. */
function leave(id: string, record: unknown): string {
  const folder = join(stateFolder(), id);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, "record.json"), JSON.stringify(record));
  return folder;
}
const record = (more: Partial<Instance>): Instance => ({
  id: "omnibus-nats-0123456789ab",
  kind: "nats",
  release: "newest",
  variant: "plain",
  label: "nats",
  found: { way: "executable", path: "/nowhere/nats-server", version: "2.15.2" },
  ports: [[20_000]],
  processes: [null],
  owner: { pid: 2 ** 22, started: "before" },
  since: new Date(0).toISOString(),
  ...more,
});

describe("the folder of what runs", () => {
  it.runIf(has.redis)("may be given relative to where the command runs", async () => {
    livesIn(relative(process.cwd(), temporaryFolder()));
    await using broker = await startBroker("redis", { own: true });
    expect(await redisCommand(portOf(broker), "PING")).toBe("+PONG\r\n");
  });

  it("keeps what is not ours, whatever it is called", async () => {
    const folder = livesIn(temporaryFolder());
    const foreign = ["omnibus-thesis", "omnibus-brokers-0", "omnibus-nats-0123", "omnibus-nats-0123456789ab-copy"];
    for (const name of foreign) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, "text"), "precious");
    }
    mkdirSync(join(folder, "omnibus-redis-0123456789ab")); // of a start that was killed at once
    await sweepInstances();
    expect(readdirSync(folder).toSorted()).toEqual([...foreign, "lock"].toSorted());
    for (const name of foreign) expect(readFileSync(join(folder, name, "text"), "utf8")).toBe("precious");
  });

  it("is refused when everybody can write it: what a record says is run", () => {
    const folder = livesIn(temporaryFolder());
    chmodSync(folder, 0o1777);
    expect(() => stateFolder()).toThrow(`${folder} can be written by everybody`);
    chmodSync(folder, 0o755);
    expect(stateFolder()).toBe(folder);
  });

  const secrets = /(?<![\w.-])secret(?![\w.-])|PRIVATE KEY|SEED/; // some have a setting with the word in its name
  const withSecrets = {
    nats: "credentials",
    redis: "mtls",
    postgres: "mtls",
    rabbitmq: "mtls",
    kafka: "tls-scram-256",
  };
  it.for(["nats", "redis", "postgres", "rabbitmq", "kafka"] as const)(
    "may have any name, and shows nobody else what is secret: %s",
    { timeout: 180_000 },
    async (name, { skip }) => {
      skip(!has[name]);
      const anyName = name === "rabbitmq" ? "a b ü;#%{}" : `a b"c'd$HOME \`x\` ü;#%{}`; // docs/brokers.md
      vi.stubEnv("LANG", "C");
      const folder = livesIn(join(temporaryFolder(), anyName));
      chmodSync(folder, 0o755);
      await using password = await startBroker(name, { variant: "password" });
      await using tls = await startBroker(name, { variant: withSecrets[name] as never });
      expect([await password.state(), await tls.state()]).toEqual(["running", "running"]);
      for (const each of readdirSync(folder).filter((entry) => entry.startsWith("omnibus-"))) {
        expect([each, statSync(join(folder, each)).mode & 0o777]).toEqual([each, 0o700]);
        for (const path of readdirSync(join(folder, each), { recursive: true, encoding: "utf8" })) {
          const at = join(folder, each, path);
          if (!isFile(at) || !secrets.test(readFileSync(at, "utf8"))) continue;
          expect([path, statSync(at).mode & 0o077]).toEqual([path, 0]);
        }
      }
      for (const broker of [password, tls]) expect(await broker.logs()).not.toMatch(secrets);
    },
  );

  it("of what was installed is the user's own when the variable is no absolute path", () => {
    vi.stubEnv("XDG_CACHE_HOME", "cache");
    expect(cacheFolder()).toMatch(/^\/.*\/\.cache\/omnibus\/brokers$/);
  });
});

describe("a record that was left behind", () => {
  it.runIf(has.redis && process.platform === "linux")(
    "is cleaned up, and its server ended, when its program is gone by now",
    async () => {
      livesIn(temporaryFolder());
      await using real = await startBroker("redis", { own: true });
      const program = join(temporaryFolder(), "redis-server");
      copyFileSync(realpathSync(real.origin), program);
      const [instance] = listInstances();
      if (instance === undefined) throw new Error("it has no record");
      const id = "omnibus-redis-0123456789ab";
      mkdirSync(join(folderOf(id), "1"), { recursive: true });
      const server = spawn(program, ["--port", "0", "--dir", "."], { cwd: join(folderOf(id), "1"), detached: true });
      const ended = new Promise((resolve) => server.once("exit", resolve));
      rmSync(program);
      writeInstance({
        ...instance,
        id,
        found: { way: "executable", path: program, version: "7.0.0" },
        processes: [null],
        owner: { pid: 2 ** 22, started: "before" },
      });
      await using _next = await startBroker("redis", { own: true });
      await ended;
      expect(existsSync(folderOf(id))).toBe(false);
      expect(await redisCommand(portOf(real), "PING")).toBe("+PONG\r\n");
    },
  );

  it.each([null, [], 7, {}, { id: "omnibus-nats-0123456789ab" }, { ...record({}), id: "../../elsewhere" }])(
    "stops nobody when it is none: %j",
    async (text) => {
      livesIn(temporaryFolder());
      const folder = leave("omnibus-nats-0123456789ab", text);
      expect(await statusLines()).toEqual([]);
      await sweepInstances();
      expect(existsSync(folder)).toBe(false);
    },
  );

  it("of a broker that only another version has is shown, and can be stopped", async () => {
    livesIn(temporaryFolder());
    for (const [at, more] of [{ kind: "pigeons" }, { kind: "toString" }, { variant: "feathers" }].entries()) {
      const id = `omnibus-pigeons-00000000000${at}`;
      leave(id, record({ id, label: `pigeons${at}`, owner: null, ...more }));
    }
    const since = "1970-01-01T00:00:00.000Z";
    expect((await statusLines()).toSorted()).toEqual(
      [0, 1, 2].map((at) => `pigeons${at}  of another version of Omnibus, since ${since}`),
    );
    expect(await stopKept(["pigeons0", "pigeons1", "pigeons2"])).toEqual(["pigeons0", "pigeons1", "pigeons2"]);
    expect(listInstances()).toEqual([]);
  });
});

describe("what runs listens on loopback alone", () => {
  // RabbitMQ and Kafka in their own files, where they run.
  const all = [nats, redis, postgres].flatMap(({ name, variants }) =>
    variants.map((variant) => [name as "nats" | "redis" | "postgres", variant] as const),
  );
  it.for(all)("%s/%s", { timeout: 60_000 }, async ([name, variant], { skip }) => {
    skip(!has[name]);
    await using broker = await startBroker(name, { own: true, variant: variant as never });
    await checkLoopback(broker);
  });
});

describe("a url that was given", () => {
  it.each([
    ["nats://127.0.0.1:4222", "nats://127.0.0.1:4222"],
    ["nats://user:p@ss/word,1@host:4222", "nats://***@host:4222"],
    ["nats://token@one:1,nats://token@two:2", "nats://***@two:2"],
    ["user:word@host", "***@host"],
    ["rediss://:word@[::1]:6379/2", "rediss://***@[::1]:6379/2"],
  ])("%s is shown without what is secret", (url, shown) => {
    expect(withoutSecrets(url)).toBe(shown);
  });

  it("is whole in what a shell reads, and there alone", async () => {
    const program = new URL("../../scripts/brokers/main.ts", import.meta.url).pathname;
    const run = async (...args: readonly string[]): Promise<string> =>
      (
        await command(process.execPath, [program, "start", "redis", ...args], {
          env: { OMNIBUS_TEST_REDIS_URL: "redis://me:hunter2@elsewhere.example", NODE_NO_WARNINGS: "1" },
        })
      ).output;
    expect(await run()).toBe("redis  redis://***@elsewhere.example  (given by OMNIBUS_TEST_REDIS_URL)");
    expect(await run("--env")).toBe("OMNIBUS_TEST_REDIS_URL=redis://me:hunter2@elsewhere.example");
  });
});

describe("what can't be done", () => {
  it.runIf(has.redis)("to one that does not run is said at once", async () => {
    await using broker = await startBroker("redis", { own: true });
    await broker.kill();
    await expect(broker.pause()).rejects.toThrow("redis does not run");
    await expect(broker.resume()).rejects.toThrow("redis does not run");
    await broker.kill();
    await broker.stop();
    expect(await broker.state()).toBe("down");
  });

  it("at an exit stops nothing else", async () => {
    const module = new URL("../../scripts/brokers/at-exit.ts", import.meta.url).href;
    const code = `import { atExit } from ${JSON.stringify(module)};
atExit(() => { throw new Error("as told"); });
atExit(() => console.log("the other"));`;
    const { ok, output } = await command(process.execPath, ["--input-type=module", "-e", code], {
      env: { NODE_NO_WARNINGS: "1" },
    });
    expect([ok, output]).toEqual([true, expect.stringMatching(/^the other$/m)]);
    expect(output).toContain("as told");
  });

  it("within its time is ended, whatever its children hold open", async () => {
    const from = performance.now();
    expect(await command("sh", ["-c", "sleep 5; true"], { timeoutMs: 200 })).toMatchObject({ ok: false });
    expect(performance.now() - from).toBeLessThan(4_000);
  });

  it("with an image of another version than the one that is installed is not done", () => {
    for (const { name, releases } of Object.values(brokerKinds)) {
      const { newest = "" } = releases;
      expect(imageOf(name, newest, newest)).toMatch(new RegExp(`:${newest}(?:-alpine)?$`));
      expect(() => imageOf(name, "0.0.1", newest)).toThrow("compose.yaml pins");
    }
  });
});
