import { delimiter } from "node:path";
import { afterEach, expect, it, vi } from "vitest";
import { wantedBroker } from "../../scripts/brokers/broker-name.ts";
import { findBroker, givenUrl } from "../../scripts/brokers/find-broker.ts";
import { skipsOnce } from "../../scripts/brokers/skip-lines.ts";
import { brokersHome } from "../support/brokers-home.ts";
import { fakeExecutable, temporaryFolder } from "../support/fake-executable.ts";

brokersHome();
afterEach(() => vi.unstubAllEnvs());

it("a broker comes from a url, else the path, else a container, else an installer: docs/brokers.md", async () => {
  const nats = wantedBroker("nats");
  const wanted = { ...nats, kind: { ...nats.kind, executable: "omnibus-fake-server" } };
  const server = `printf '#!/bin/sh\\necho "nats-server: v2.15.2"\\n' > "$GOBIN/nats-server"\nchmod +x "$GOBIN/nats-server"`;
  const ways = {
    path: fakeExecutable("omnibus-fake-server", `echo "nats-server: v2.11.0"`),
    container: fakeExecutable("docker", "exit 0"),
    go: fakeExecutable("go", server),
  };
  vi.stubEnv("XDG_CACHE_HOME", temporaryFolder());
  vi.stubEnv("OMNIBUS_TEST_INSTALL", "1");
  vi.stubEnv("OMNIBUS_TEST_NATS_URL", "nats://elsewhere.example");
  const found = async (...folders: readonly string[]): Promise<string> => {
    vi.stubEnv("PATH", folders.join(delimiter));
    const given = givenUrl(wanted);
    if (given !== undefined) return given.url;
    const { way, version } = await findBroker(wanted, () => {});
    return `${way} ${version}`;
  };
  const { path, container, go } = ways;
  expect(await found(go, container, path)).toBe("nats://elsewhere.example");
  vi.stubEnv("OMNIBUS_TEST_NATS_URL", "");
  expect(await found(go, container, path)).toBe("executable 2.11.0");
  expect(await found(go, container)).toBe("container 2.15.2");
  expect(await found(go)).toBe("executable 2.15.2");
  expect(await found(go, container)).toBe("executable 2.15.2"); // it is there by now
});

it("that tests are skipped is said once for each broker and release in a run, and all else as it was", () => {
  const shows = skipsOnce();
  const line = (label: string): string => `skips tests on ${label.split(/\W/)[0]}: ${label} can't be had: no way`;
  const labels = ["nats", "nats/tls", "nats", "nats@2.10", "nats@2.10/mtls", "redis/cluster", "redis"];
  expect(labels.filter((label) => shows(line(label)) !== false)).toEqual(["nats", "nats@2.10", "redis/cluster"]);
  expect(["installs nats-server", "skips tests", ""].map((log) => shows(log))).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});
