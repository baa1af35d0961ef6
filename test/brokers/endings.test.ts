import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { BrokerName } from "../../scripts/brokers/broker-name.ts";
import { type Instance, sweepInstances } from "../../scripts/brokers/instances.ts";
import { identify, isAlive, type ProcessIdentity } from "../../scripts/brokers/process-identity.ts";
import { membersOf } from "../../scripts/brokers/server-family.ts";
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import { until, within } from "../../src/testing/until.ts";
import { brokersHome } from "../support/brokers-home.ts";
import { fakeExecutable } from "../support/fake-executable.ts";
import { LineSocket } from "../support/line-socket.ts";
import { hasBroker } from "../support/test-broker.ts";
import { hands, isGone } from "./hands.ts";

const home = brokersHome();
const has: Record<BrokerName, boolean> = {
  nats: await hasBroker("nats"),
  redis: await hasBroker("redis"),
  postgres: await hasBroker("postgres"),
  rabbitmq: await hasBroker("rabbitmq"),
  kafka: await hasBroker("kafka"),
};
const command = new URL("../../scripts/brokers/main.ts", import.meta.url).pathname;

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

function run(script: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): ChildProcess {
  const child = spawn(process.execPath, [script, ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "ignore"],
  });
  children.push(child);
  return child;
}

const starterOf = (name: BrokerName, ...args: readonly string[]): ChildProcess =>
  run(new URL("starter.ts", import.meta.url).pathname, [name, ...args]);
const starter = (...args: readonly string[]): ChildProcess => starterOf("nats", ...args);

async function portOf(child: ChildProcess, withinMs?: number): Promise<number> {
  const [line] = (await within(once(child.stdout!, "data"), "the url", withinMs)) as [Buffer];
  return Number(new URL(line.toString().trim()).port);
}

async function ask(port: number): Promise<string> {
  using socket = LineSocket.plain(port);
  return await socket.next();
}

/** Of the processes that this file started. */
const records = (): readonly Instance[] =>
  readdirSync(home)
    .filter((name) => name.startsWith("omnibus-"))
    .flatMap((name) => {
      try {
        return JSON.parse(readFileSync(join(home, name, "record.json"), "utf8")) as Instance;
      } catch {
        return []; // being written
      }
    });
const ownedBy = (child: ChildProcess): Instance | undefined => records().find(({ owner }) => owner?.pid === child.pid);

/** Ends it as a crash does, and gives its record, changed if wanted. */
async function crashed(child: ChildProcess, change: Partial<Instance> = {}): Promise<Instance> {
  const record = ownedBy(child);
  if (record === undefined) throw new Error("it has no record");
  child.kill("SIGKILL");
  await once(child, "exit");
  const changed = { ...record, ...change };
  writeFileSync(join(home, record.id, "record.json"), JSON.stringify(changed));
  return changed;
}

describe.each(["redis", "postgres", "rabbitmq", "kafka"] as const)("%s: what a process started", (name) => {
  const { timeout } = hands[name];
  /** Of its server, which may be many. */
  const processesOf = ({ processes }: Instance): readonly ProcessIdentity[] =>
    membersOf({ started: processes.filter((each) => each !== null), folder: home, programs: [] });

  it.runIf(has[name])("ends with it, all of its processes: SIGINT", { timeout }, async () => {
    const child = starterOf(name);
    const exited = once(child, "exit");
    const port = await portOf(child, timeout);
    const processes = processesOf(ownedBy(child)!);
    child.kill("SIGINT");
    expect(await within(exited, "its end")).toEqual([null, "SIGINT"]);
    expect(ownedBy(child)).toBeUndefined();
    await until(() => !processes.some(isAlive), "the end of all its processes");
    expect(await isGone(name, port)).toBe(true);
  });

  it.runIf(has[name])("is ended, all of its processes, when it was killed, noted or not", { timeout }, async () => {
    const child = starterOf(name);
    const port = await portOf(child, timeout);
    const processes = processesOf(ownedBy(child)!);
    const { id } = await crashed(child, process.platform === "linux" ? { processes: [null] } : {});
    await hands[name].ask(port); // nobody else could
    await sweepInstances(); // as every start does
    await until(() => !processes.some(isAlive), "the end of all its processes");
    expect(await isGone(name, port)).toBe(true);
    expect(readdirSync(home)).not.toContain(id);
  });
});

describe.runIf(has.nats)("what a process started", () => {
  it.each([
    { how: "SIGINT", code: null, name: "SIGINT" },
    { how: "SIGTERM", code: null, name: "SIGTERM" },
    { how: "exit", code: 3, name: null },
    { how: "throw", code: 1, name: null },
  ] as const)("ends with it: $how", async ({ how, code, name }) => {
    const child = starter(how);
    const exited = once(child, "exit");
    const port = await portOf(child);
    if (name !== null) child.kill(name);
    expect(await within(exited, "its end")).toEqual([code, name]);
    expect(ownedBy(child)).toBeUndefined();
    // it was told to end before its starter was gone, and does so on its own
    await until(
      () =>
        ask(port)
          .then(() => false)
          .catch((error: unknown) => String(error).includes("ECONNREFUSED")),
      "the end of the broker",
    );
  });

  it("is ended by the next start when it was killed, and its folder removed", async () => {
    const child = starter();
    const port = await portOf(child);
    await crashed(child);
    expect(await ask(port)).toMatch(/^INFO /); // nobody else could
    await using _next = await startBroker("nats", { own: true });
    await until(
      () =>
        ask(port)
          .then(() => false)
          .catch(() => true),
      "the end of the broker",
    );
    expect(ownedBy(child)).toBeUndefined();
  });

  it.runIf(process.platform === "linux")(
    "is found even when its starter was killed before it could note it",
    async () => {
      const child = starter();
      const port = await portOf(child);
      await crashed(child, { processes: [null] });
      await using _next = await startBroker("nats", { own: true });
      await until(
        () =>
          ask(port)
            .then(() => false)
            .catch(() => true),
        "the end of the broker",
      );
    },
  );

  it("is left alone when its number is another process's by now", async () => {
    const child = starter();
    await portOf(child);
    const bystander = run("-e", ["setInterval(() => {}, 60_000)"]);
    await until(() => identify(bystander.pid ?? 0) !== undefined, "the bystander");
    const { processes } = await crashed(child, { processes: [{ pid: bystander.pid ?? 0, started: "another time" }] });
    expect(processes).toHaveLength(1);
    await using _next = await startBroker("nats", { own: true });
    expect(ownedBy(child)).toBeUndefined();
    expect(bystander.exitCode ?? bystander.signalCode).toBeNull();
    expect(identify(bystander.pid ?? 0)).toBeDefined();
  });

  it("is not ended by the start of others while it lives", async () => {
    const child = starter();
    const port = await portOf(child);
    await using _next = await startBroker("nats", { own: true });
    expect(await ask(port)).toMatch(/^INFO /);
  });
});

describe("npm run brokers -- start", () => {
  it("leaves nothing when Ctrl-C comes before the broker is ready", async () => {
    const folder = fakeExecutable(
      "nats-server",
      `[ "$1" = --version ] && echo "nats-server: v2.15.0" && exit 0\nexec sleep 600`,
    );
    const child = run(command, ["start", "nats"], { PATH: folder, OMNIBUS_TEST_NATS_URL: "" });
    const exited = once(child, "exit");
    const process = (): ProcessIdentity | undefined => ownedBy(child)?.processes[0] ?? undefined;
    await until(() => process() !== undefined, "the server's process");
    const server = process();
    child.kill("SIGINT");
    expect(await within(exited, "its end")).toEqual([null, "SIGINT"]);
    expect(ownedBy(child)).toBeUndefined();
    await until(() => identify(server?.pid ?? 0)?.started !== server?.started, "the server's end");
  });
});
