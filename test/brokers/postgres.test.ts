import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { Broker } from "../../scripts/brokers/broker.ts";
import { containerCommand } from "../../scripts/brokers/container-command.ts";
import { command } from "../../scripts/brokers/command.ts";
import { folderOf, type Instance, listInstances } from "../../scripts/brokers/instances.ts";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import { isAlive, type ProcessIdentity } from "../../scripts/brokers/process-identity.ts";
import { membersOf } from "../../scripts/brokers/server-family.ts";
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import { until, within } from "../../src/testing/until.ts";
import { brokersHome } from "../support/brokers-home.ts";
import { fakeExecutable, temporaryFolder } from "../support/fake-executable.ts";
import { testBroker } from "../support/test-broker.ts";
import { hands, portOf } from "./hands.ts";

brokersHome();
const { timeout } = hands.postgres;
const shared = await testBroker("postgres", { own: true });
const one = async (port: number, sql: string): Promise<string | null | undefined> =>
  (await postgresCommand(port, sql))[0]?.[0];
const ask = (port: number): Promise<string | null | undefined> => one(port, "select 'here'");

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

function recordOf(broker: Broker): Instance {
  const record = listInstances().find(({ ports }) => ports[0]?.[0] === portOf(broker));
  if (record === undefined) throw new Error("it has no record");
  return record;
}

/** The first one, and what that started. */
function processesOf(broker: Broker): readonly ProcessIdentity[] {
  const { id, processes } = recordOf(broker);
  return membersOf({ started: processes.filter((each) => each !== null), folder: folderOf(id), programs: [] });
}

/** A query that is under way, as another session sees it. */
async function begun(port: number, sql: string): Promise<{ readonly answer: Promise<string | null | undefined> }> {
  const answer = one(port, sql);
  answer.catch(() => undefined);
  const running = "select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid()";
  await until(async () => (await one(port, running)) !== "0", "the query");
  return { answer };
}

describe.skipIf(shared === undefined)("a PostgreSQL of our own", { timeout }, () => {
  it("begins as a copy of what was made once", async () => {
    await using other = await startBroker("postgres", { own: true });
    const made = "select system_identifier from pg_control_system()";
    expect(await one(portOf(other), made)).toBe(await one(portOf(shared!), made));
  });

  it("syncs what it acknowledges", async () => {
    expect(await one(portOf(shared!), "show fsync")).toBe("on");
  });

  it.runIf(process.platform === "linux")("runs as nobody's root", () => {
    const uids = processesOf(shared!).map(({ pid }) => statSync(`/proc/${pid}`).uid);
    expect(uids.length).toBeGreaterThan(4);
    expect(uids).not.toContain(0);
  });

  it("doesn't wait for who is connected when it is killed, stopped and restarted", async () => {
    await using broker = await startBroker("postgres", { own: true });
    const port = portOf(broker);
    await postgresCommand(port, "create table kept(x int); insert into kept values (1)");
    const before = await begun(port, "select pg_sleep(60)");
    await broker.kill();
    expect(await broker.state()).toBe("down");
    await expect(before.answer).rejects.toThrow(/closed|terminat|ECONNRESET|EPIPE/);
    await broker.start();
    expect(await one(port, "select x from kept")).toBe("1");
    const open = await begun(port, "select pg_sleep(60)");
    await broker.restart();
    await expect(open.answer).rejects.toMatchObject({ code: "57P01" });
    expect(await broker.logs()).toContain("received fast shutdown request");
    expect(await one(port, "select x from kept")).toBe("1");
  });

  const busy = "select count(*) from generate_series(1, 4000000000)"; // looks up only now and then

  it("leaves no process of it when it is killed, nor when it is disposed of paused", async () => {
    const broker = await startBroker("postgres", { own: true });
    await begun(portOf(broker), busy);
    const processes = processesOf(broker);
    expect(processes.length).toBeGreaterThan(5);
    await broker.kill();
    expect(processes.filter(isAlive)).toEqual([]);
    await broker.start();
    await broker.pause();
    const paused = processesOf(broker);
    expect(paused.length).toBeGreaterThan(4);
    await broker[Symbol.asyncDispose]();
    expect(paused.filter(isAlive)).toEqual([]);
  });

  it("is started again when it ended by itself, and nothing of it is left at the same data", async () => {
    await using broker = await startBroker("postgres", { own: true });
    const { answer } = await begun(portOf(broker), busy);
    const processes = processesOf(broker);
    const [server] = recordOf(broker).processes as [ProcessIdentity];
    process.kill(server.pid, "SIGKILL"); // it alone
    await until(() => !isAlive(server), "its end");
    expect(processes.filter(isAlive)).not.toEqual([]);
    await broker.start();
    expect(processes.filter(isAlive)).toEqual([]);
    await expect(answer).rejects.toThrow(/closed|terminat|ECONNRESET|EPIPE/);
    expect(await ask(portOf(broker))).toBe("here");
  });

  it("is started again although its old number is another process's by now", async () => {
    await using broker = await startBroker("postgres", { own: true });
    await broker.kill();
    const number = join(folderOf(recordOf(broker).id), "1", "data", "postmaster.pid");
    const { uid, gid } = statSync(number); // another user's it would take for somebody else's by itself
    const bystander = spawn("sleep", ["60"], process.getuid?.() === 0 ? { uid, gid } : {});
    children.push(bystander);
    writeFileSync(number, readFileSync(number, "utf8").replace(/^\d+/, String(bystander.pid)));
    await broker.start();
    expect(await ask(portOf(broker))).toBe("here");
  });

  it("answers nothing while it is paused on open connections neither", async () => {
    const { answer } = await begun(portOf(shared!), "select 'awake' from pg_sleep(3)");
    await shared!.pause();
    await expect(within(answer, "an answer", 3_500)).rejects.toThrow("an answer");
    await shared!.resume();
    expect(await answer).toBe("awake");
  });
});

describe.skipIf(shared === undefined)("variants of PostgreSQL", { timeout }, () => {
  it("password: lets in its user, and nobody else", async () => {
    await using broker = await startBroker("postgres", { variant: "password" });
    const { username, password } = new URL(broker.url);
    expect(broker.login).toEqual({ user: username, password });
    expect(await postgresCommand(portOf(broker), "select 1", { user: username, password })).toEqual([["1"]]);
    const wrong = postgresCommand(portOf(broker), "select 1", { user: username, password: "wrong" });
    await expect(wrong).rejects.toMatchObject({ code: "28P01" });
  });

  it("no-sync: acknowledges before the disk has it", async () => {
    await using broker = await startBroker("postgres", { variant: "no-sync" });
    expect(await one(portOf(broker), "show synchronous_commit")).toBe("off");
  });

  it("replica: the second server follows the first, and may only be read", async () => {
    await using broker = await startBroker("postgres", { variant: "replica" });
    const [primary, standby] = broker.servers;
    if (primary === undefined || standby === undefined) throw new Error("two servers");
    await postgresCommand(primary.port, "create table kept(x int); insert into kept values (1)");
    const follows = (): Promise<boolean> =>
      one(standby.port, "select x from kept").then(
        (x) => x === "1",
        () => false, // no such table yet
      );
    await until(follows, "the row at the standby");
    await expect(one(standby.port, "insert into kept values (2)")).rejects.toMatchObject({ code: "25006" });
    await primary.kill();
    expect([await primary.state(), await standby.state()]).toEqual(["down", "running"]);
    expect(await one(standby.port, "select pg_promote()")).toBe("t");
    await postgresCommand(standby.port, "insert into kept values (2)");
  });
});

describe("PostgreSQL in a container", () => {
  it("begins as root, gives the files to its user, and becomes the server", async () => {
    const kind = { executable: "postgres", unprivileged: ["postgres"] };
    const plan = {
      files: {},
      args: ["-D", "/a b/1/data"],
      prepare: { command: ["initdb", "it's"], makes: "data/PG_VERSION" },
    };
    const { entrypoint, args } = containerCommand(kind, plan, "/a b");
    const folder = temporaryFolder();
    for (const name of ["chown", "initdb", "postgres"]) fakeExecutable(name, `printf '%s|' ${name} "$@"; echo`, folder);
    fakeExecutable("su", `PATH="${folder}:$PATH"; shift 4; exec /bin/sh -c "$1"`, folder);
    const { output } = await command(entrypoint, args, { env: { PATH: `${folder}:${process.env["PATH"]}` } });
    expect(output.split("\n")).toEqual(["chown|-R|postgres|/a b|", "initdb|it's|", "postgres|-D|/a b/1/data|"]);
    expect(containerCommand({ executable: "nats-server" }, plan, "/a b")).toEqual({
      entrypoint: "nats-server",
      args: plan.args,
    });
  });
});
