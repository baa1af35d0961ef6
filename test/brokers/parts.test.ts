import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { withoutAutoStart } from "../../scripts/brokers/auto-start.ts";
import { command } from "../../scripts/brokers/command.ts";
import { imageOf } from "../../scripts/brokers/container-engine.ts";
import { ServerEnded } from "../../scripts/brokers/controlled-server.ts";
import { freePorts } from "../../scripts/brokers/free-ports.ts";
import { withLock } from "../../scripts/brokers/lock.ts";
import { identify, isAlive, signal, stateOf } from "../../scripts/brokers/process-identity.ts";
import { killFamily, membersOf } from "../../scripts/brokers/server-family.ts";
import { until, within } from "../../src/testing/until.ts";
import { fakeExecutable, temporaryFolder } from "../support/fake-executable.ts";

describe("withLock", () => {
  it("lets one in at a time", async () => {
    const path = join(temporaryFolder(), "lock");
    let inside = 0;
    const seen: number[] = [];
    const enter = (): Promise<void> =>
      withLock(path, async () => {
        seen.push((inside += 1));
        await new Promise((resolve) => setImmediate(resolve));
        inside -= 1;
      });
    await Promise.all([enter(), enter(), enter()]);
    expect(seen).toEqual([1, 1, 1]);
  });

  it("is open again when the work throws, and when its holder was killed", async () => {
    const path = join(temporaryFolder(), "lock");
    const thrown = withLock(path, () => {
      throw new Error("as told");
    });
    await expect(thrown).rejects.toThrow("as told");
    const module = pathToFileURL(join(import.meta.dirname, "../../scripts/brokers/lock.ts")).href;
    const code = `import { withLock } from ${JSON.stringify(module)};
await withLock(${JSON.stringify(path)}, () => { console.log("held"); return new Promise(() => setInterval(() => {}, 60_000)); });`;
    const holder = spawn(process.execPath, ["--input-type=module", "-e", code], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await within(once(holder.stdout, "data"), "the other's lock");
    let entered = false;
    const mine = withLock(path, () => void (entered = true));
    expect(entered).toBe(false);
    holder.kill("SIGKILL");
    await within(mine, "the lock");
    expect(entered).toBe(true);
  });
});

describe("freePorts", () => {
  it("gives ports that can be listened on, none twice, none that is taken, below those of outgoing connections", async () => {
    const first = await freePorts(20, new Set());
    const second = await freePorts(20, new Set(first));
    const all = [...first, ...second];
    expect(new Set(all).size).toBe(40);
    expect(all.every((port) => port >= 20_000 && port < 32_000)).toBe(true);
    const server = createServer().listen(all[0], "127.0.0.1");
    await once(server, "listening");
    server.close();
  });
});

describe("the identity of a process", () => {
  it("is not that of another one with its number, which no signal reaches", async () => {
    const child = spawn("sleep", ["60"], { detached: true });
    const real = identify(child.pid ?? 0);
    if (real === undefined) throw new Error("it is not there");
    const former = { ...real, started: "another time" };
    expect([isAlive(real), isAlive(former)]).toEqual([true, false]);
    signal(former, "SIGKILL");
    expect(stateOf(real)).toBe("running");
    signal(real, "SIGKILL");
    const [, name] = (await within(once(child, "exit"), "its end")) as [number | null, string];
    expect([name, stateOf(real), identify(real.pid)]).toEqual(["SIGKILL", "down", undefined]);
  });

  it("reaches one that leads no group, and nobody else of its group", async () => {
    const child = spawn("sleep", ["60"]); // in this process's
    const it = identify(child.pid ?? 0);
    if (it === undefined) throw new Error("it is not there");
    signal(it, "SIGKILL");
    expect(await within(once(child, "exit"), "its end")).toEqual([null, "SIGKILL"]);
  });

  it("is this process's own", () => {
    const own = identify(process.pid);
    expect(own).toMatchObject({ pid: process.pid });
    expect(own !== undefined && isAlive(own)).toBe(true);
  });
});

describe.runIf(process.platform === "linux")("the family of a server", () => {
  it("is what it started, in whatever group, and what runs a program of its in its folder, with or without a parent", async () => {
    const folder = temporaryFolder();
    const children = {
      server: spawn("sh", ["-c", "setsid sleep 60 & setsid sleep 60 & wait"], { cwd: "/", detached: true }),
      lost: spawn("sleep", ["60"], { cwd: folder, detached: true }),
      stranger: spawn(process.execPath, ["-e", "setInterval(() => {}, 60_000)"], { cwd: folder }),
      elsewhere: spawn("sleep", ["60"], { cwd: "/" }),
    };
    const alive = (child: ChildProcess): boolean => identify(child.pid ?? 0) !== undefined;
    const started = [identify(children.server.pid ?? 0)].filter((each) => each !== undefined);
    const family = { started, folder, programs: ["sleep"] };
    try {
      await until(() => membersOf(family).length === 4, "the server, its two and the lost one");
      expect(membersOf({ ...family, programs: [] })).toHaveLength(3);
      const killed = killFamily(family);
      await until(() => !killed.some(isAlive), "their end");
      expect(killed).toHaveLength(4);
      expect(Object.values(children).map(alive)).toEqual([false, false, true, true]);
    } finally {
      for (const child of Object.values(children)) child.kill("SIGKILL");
    }
  });
});

describe("a server that ended instead of starting", () => {
  const end = Array.from({ length: 20 }, (_, at) => `INFO shutting down ${at}`);

  it("says first that its port is taken, though it called something an error before", () => {
    const log = ["ERROR not the controller", "at x", "ERROR bind: Address already in use", "at y", ...end].join("\n");
    const { message, portTaken } = new ServerEnded("kafka", log);
    expect(message.split("\n").slice(0, 2)).toEqual([
      "kafka ended instead of starting:",
      "ERROR bind: Address already in use",
    ]);
    expect(portTaken).toBe(true);
  });

  it("says the first that it called an error, and how it ended", () => {
    const { message, portTaken } = new ServerEnded("kafka", ["INFO x", "FATAL no disk", "at y", ...end].join("\n"));
    expect(message).toMatch(/^kafka ended instead of starting:\nFATAL no disk\nat y\n.*\n…\n.*shutting down 19$/s);
    expect(portTaken).toBe(false);
  });
});

describe("withoutAutoStart", () => {
  const denies = async (path: string): Promise<boolean> => {
    const { spawnSync } = await import("node:child_process");
    return spawnSync(path, ["redis-server", "start"]).status === 101;
  };

  it("denies it meanwhile, and leaves no policy where there was none", async () => {
    const path = join(temporaryFolder(), "policy-rc.d");
    expect(await withoutAutoStart(() => denies(path), path)).toBe(true);
    expect(existsSync(path)).toBe(false);
  });

  it("puts back the policy that was there, also when the work fails", async () => {
    const path = join(fakeExecutable("policy-rc.d", "exit 0"), "policy-rc.d");
    const before = readFileSync(path, "utf8");
    expect(await withoutAutoStart(() => denies(path), path)).toBe(true);
    expect(readFileSync(path, "utf8")).toBe(before);
    await expect(withoutAutoStart(() => Promise.reject(new Error("as told")), path)).rejects.toThrow("as told");
    expect(readFileSync(path, "utf8")).toBe(before);
  });

  it("leaves a policy alone that denies it already", async () => {
    const path = join(fakeExecutable("policy-rc.d", "exit 101"), "policy-rc.d");
    const before = readFileSync(path, "utf8");
    expect(await withoutAutoStart(async () => readFileSync(path, "utf8"), path)).toBe(before);
  });

  it("puts back what a run left that was killed", async () => {
    const path = join(temporaryFolder(), "policy-rc.d");
    const left = await withoutAutoStart(async () => readFileSync(path, "utf8"), path);
    writeFileSync(path, left);
    writeFileSync(`${path}.before-omnibus`, "#!/bin/sh\nexit 0\n", { mode: 0o755 });
    await withoutAutoStart(async () => {}, path);
    expect(readFileSync(path, "utf8")).toBe("#!/bin/sh\nexit 0\n");
  });
});

describe("compose.yaml", () => {
  it.each(["nats", "redis", "rabbitmq", "postgres", "kafka"])("pins the whole version of %s", (service) => {
    expect(imageOf(service, "", "")).toMatch(/:\d+\.\d+/);
  });

  it("gives the same image of another version", () => {
    expect(imageOf("nats", "2.15.2", "2.10.29")).toBe("nats:2.10.29-alpine");
    expect(() => imageOf("pigeons", "1", "2")).toThrow("compose.yaml has no image for pigeons");
  });

  it("listens on loopback alone", () => {
    const compose = readFileSync("compose.yaml", "utf8");
    for (const ports of compose.match(/ports: .*/g) ?? []) expect(ports).toMatch(/^ports: \["127\.0\.0\.1:/);
  });
});

it("a command that is not there is one that failed", async () => {
  expect(await command("omnibus-no-such-command", [])).toMatchObject({ ok: false });
});
