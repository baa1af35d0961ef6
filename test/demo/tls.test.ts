import { afterEach, describe, expect, it, vi } from "vitest";
import type { Broker } from "../../scripts/brokers/broker.ts";
import { testBroker } from "../support/test-broker.ts";
import { demo, small } from "./run-demo.ts";

const at = (broker: Broker, scheme: string): string => broker.url.replace(/^[a-z]+/u, scheme);
const brokers = {
  nats: {
    plain: await testBroker("nats"),
    tls: await testBroker("nats", { variant: "tls" }),
    mtls: await testBroker("nats", { variant: "mtls" }),
    wrongHost: await testBroker("nats", { variant: "tls-wrong-host" }),
  },
  redis: {
    plain: await testBroker("redis"),
    tls: await testBroker("redis", { variant: "tls" }),
    mtls: await testBroker("redis", { variant: "mtls" }),
    wrongHost: await testBroker("redis", { variant: "tls-wrong-host" }),
  },
};
const schemes = { nats: { without: "nats", by: "tls" }, redis: { without: "redis", by: "rediss" } };

describe.each(["nats", "redis"] as const)("npm run demo over %s by TLS", (name) => {
  const { plain, tls, mtls, wrongHost } = brokers[name];
  const { without, by } = schemes[name];
  const timeout = 60_000;

  afterEach(() => vi.unstubAllEnvs());

  /** What it says in two lines: the error, and what to do. */
  async function advice(url: string): Promise<string> {
    const { code, output } = await demo([...small, "--url", url]);
    expect(output).toMatch(/^demo: BUS_[A-Z]+_?[A-Z]+: [^\n]+\n[^\n]+\n$/u);
    expect(code).toBe(1);
    return output.split("\n")[1]!;
  }

  it.skipIf(tls === undefined)("says how to trust an authority, and that is enough", { timeout }, async () => {
    expect(await advice(tls!.url)).toContain("NODE_EXTRA_CA_CERTS=");
    vi.stubEnv("NODE_EXTRA_CA_CERTS", tls!.certificates!.ca);
    const { code, output } = await demo([...small, "--url", tls!.url]);
    expect(output).toContain("Every event was handled by every group, in order per repository.");
    expect(code).toBe(0);
  });

  it.skipIf(plain === undefined)("asked of a server without it: says the other scheme", { timeout }, async () => {
    expect(await advice(at(plain!, by))).toMatch(new RegExp(`${without}:// instead of ${by}://\\.$`, "u"));
  });

  it.skipIf(tls === undefined)("not asked of a server that has it: says what is missing", { timeout }, async () => {
    const said = await advice(at(tls!, without));
    // a server of NATS says that it wants TLS, and gets it
    expect(said).toContain(name === "nats" ? "NODE_EXTRA_CA_CERTS=" : "rediss:// instead of redis://.");
  });

  it.skipIf(mtls === undefined)(
    "says that it has no certificate to show, and whose name is wrong",
    { timeout },
    async () => {
      vi.stubEnv("NODE_EXTRA_CA_CERTS", mtls!.certificates!.ca);
      expect(await advice(mtls!.url)).toContain("the demo has none to show");
      vi.stubEnv("NODE_EXTRA_CA_CERTS", wrongHost!.certificates!.ca);
      expect(await advice(wrongHost!.url)).toContain("as its certificate names it");
    },
  );

  it("nobody there: says how to have one", { timeout }, async () => {
    expect(await advice(`${by}://127.0.0.1:1`)).toContain(`npm run demo -- ${name}`);
  });
});
