import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { certificatesIn } from "../../scripts/brokers/certificates.ts";
import { findBroker } from "../../scripts/brokers/find-broker.ts";
import { wantedBroker } from "../../scripts/brokers/broker-name.ts";
import { folderOf, listInstances } from "../../scripts/brokers/instances.ts";
import { rabbitmq } from "../../scripts/brokers/rabbitmq.ts";
import { ServerContainer } from "../../scripts/brokers/server-container.ts";
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import { until, within } from "../../src/testing/until.ts";
import { AmqpWire } from "../support/amqp-wire.ts";
import { brokersHome } from "../support/brokers-home.ts";
import { fakeExecutable, temporaryFolder } from "../support/fake-executable.ts";
import { checkLoopback } from "../support/check-loopback.ts";
import { testBroker } from "../support/test-broker.ts";
import { portOf } from "./hands.ts";
import { lifecycleOf } from "./lifecycle-cases.ts";

const home = brokersHome();
const shared = await testBroker("rabbitmq", { own: true });
const read = (path: string): string => readFileSync(path, "utf8");

/** Processes, of whatever program, that work in a folder below `folder`. */
function workingIn(folder: string): readonly number[] {
  return readdirSync("/proc").flatMap((name) => {
    try {
      return /^\d+$/.test(name) && readlinkSync(`/proc/${name}/cwd`).startsWith(folder) ? [Number(name)] : [];
    } catch {
      return []; // no process any more, or a dead one
    }
  });
}

lifecycleOf("rabbitmq", shared, home);

describe.skipIf(shared === undefined)("rabbitmq of our own", { timeout: 180_000 }, () => {
  it("listens on loopback alone, what tells its names too", async () => {
    await checkLoopback(shared!);
  });

  it("looks for its modules among no plugins", ({ skip }) => {
    skip(shared!.version?.startsWith("3.") !== true); // docs/brokers.md
    const { id } = listInstances().find(({ ports }) => ports[0]?.[0] === portOf(shared!))!;
    expect(readdirSync(join(folderOf(id), "1", "plugins"))).toEqual([`rabbit-${shared!.version}`]);
  });

  it.runIf(process.platform === "linux")("leaves no process behind when it is killed or ends by itself", async () => {
    const { id, processes } = listInstances().find(({ ports }) => ports[0]?.[0] === portOf(shared!))!;
    expect(workingIn(folderOf(id)).length).toBeGreaterThan(3);
    process.kill(processes[0]!.pid, "SIGKILL"); // it alone, not its group
    const gone = async (): Promise<boolean> => workingIn(folderOf(id)).length === 0;
    await until(async () => (await gone()) && (await shared!.state()) === "down", "the end of what told its names");
    await shared!.start();
    await shared!.kill();
    await until(gone, "the end of all");
    await shared!.start();
  });

  it("refuses a folder where it would wait for ever", async () => {
    vi.stubEnv("OMNIBUS_BROKERS_DIR", join(temporaryFolder(), "$x"));
    await expect(startBroker("rabbitmq", { own: true })).rejects.toThrow("RabbitMQ can't live in");
    vi.stubEnv("OMNIBUS_BROKERS_DIR", home);
  });

  it("password: lets in its user, where it may, and nobody else", async () => {
    await using broker = await startBroker("rabbitmq", { variant: "password" });
    const port = portOf(broker);
    const { username, password } = new URL(broker.url);
    expect(broker.login).toEqual({ user: username, password });
    const login = { user: username, password };
    using wire = await AmqpWire.connect(port, login);
    await wire.declare("q");
    using _other = await AmqpWire.connect(port, { ...login, vhost: "other" });
    await expect(AmqpWire.connect(port, { ...login, vhost: "closed" })).rejects.toThrow("530 NOT_ALLOWED");
    await expect(AmqpWire.connect(port, { ...login, vhost: "missing" })).rejects.toThrow("530 NOT_ALLOWED");
    await expect(AmqpWire.connect(port, { ...login, password: "wrong" })).rejects.toThrow("403 ACCESS_REFUSED");
    await expect(AmqpWire.connect(port)).rejects.toThrow("403 ACCESS_REFUSED");
  });

  it("no-disk: answers, and takes nothing that is published", async () => {
    await using broker = await startBroker("rabbitmq", { variant: "no-disk" });
    using wire = await AmqpWire.connect(portOf(broker));
    await wire.declare("q");
    await expect(within(wire.publish("q", "text"), "a confirm", 500)).rejects.toThrow("a confirm");
    using other = await AmqpWire.connect(portOf(shared!));
    await other.declare("q");
    await other.publish("q", "text");
  });

  it("cluster: three servers are one, also after one and after all were killed", { timeout: 300_000 }, async () => {
    await using broker = await startBroker("rabbitmq", { variant: "cluster" });
    const [first, second, third] = broker.servers;
    if (first === undefined || second === undefined || third === undefined) throw new Error("three servers");
    await checkLoopback(broker);
    using wire = await AmqpWire.connect(second.port);
    await wire.declare("ours");
    const hasOurs = async (port: number): Promise<void> => {
      using other = await AmqpWire.connect(port);
      await other.declare("ours", true);
    };
    await hasOurs(third.port);
    await first.kill(); // it told the names, which another does from now on
    expect([await first.state(), await third.state()]).toEqual(["down", "running"]);
    await hasOurs(third.port);
    await broker.start();
    await hasOurs(first.port);
    await broker.kill();
    await broker.start();
    for (const { port } of broker.servers) await hasOurs(port);
  });
});

describe("where rabbitmq comes from", () => {
  it("its version is told by its folder, since asking would start it", async () => {
    const { kind, ...wanted } = wantedBroker("rabbitmq");
    vi.stubEnv("OMNIBUS_TEST_INSTALL", "0");
    const in_ = (folder: string): ReturnType<typeof findBroker> => {
      const path = fakeExecutable("omnibus-fake-server", "touch started", join(temporaryFolder(), folder));
      vi.stubEnv("PATH", path);
      const fake = { ...kind, executable: "omnibus-fake-server", installers: () => [] };
      return findBroker({ ...wanted, kind: fake }, () => {});
    };
    expect(await in_("rabbitmq_server-4.1.2/sbin")).toMatchObject({ way: "executable", version: "4.1.2" });
    expect(await in_("Cellar/rabbitmq/4.2.0/sbin")).toMatchObject({ version: "4.2.0" });
    await expect(in_("rabbitmq_server-3.9.13/sbin")).rejects.toThrow("is 3.9.13, and 3.10.0 is the lowest that works");
    await expect(in_("elsewhere")).rejects.toThrow("does not tell its version");
    vi.unstubAllEnvs();
    vi.stubEnv("OMNIBUS_BROKERS_DIR", home);
  });

  // Not a real engine: this machine has none that answers.
  it("in a container it gets its environment, with paths of the inside and names that are the image's affair", async () => {
    const { servers, url } = rabbitmq.plan({
      variant: "plain",
      id: "omnibus-rabbitmq-0123456789ab",
      host: "0.0.0.0",
      servers: [{ folder: "/omnibus/1", ports: [20_001, 20_002, 20_003] }],
      certificates: certificatesIn("/omnibus/certificates"),
    });
    const [plan] = servers;
    expect(url).toBe("amqp://127.0.0.1:20001");
    expect(Object.keys(plan?.env ?? {}).filter((name) => /EPMD|DIST/.test(name))).toEqual([]);
    expect(plan?.env).toMatchObject({ RABBITMQ_ADVANCED_CONFIG_FILE: "/omnibus/1/advanced.config" });
    const folder = temporaryFolder();
    const engine = join(fakeExecutable("docker", `echo "$@" >> "${folder}/calls"; [ "$1" != inspect ]`), "docker");
    const container = new ServerContainer({
      engine,
      image: "rabbitmq:4.3.6-alpine",
      name: "omnibus-rabbitmq-0123456789ab",
      entrypoint: rabbitmq.executable,
      args: [],
      env: plan?.env,
      port: 20_001,
      folder,
    });
    await container.start();
    expect(read(join(folder, "calls"))).toMatch(
      /^create .* --env RABBITMQ_LOGS=- .* --entrypoint rabbitmq-server rabbitmq:4\.3\.6-alpine$/m,
    );
  });
});
