import { describe, expect, it, onTestFinished } from "vitest";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "../../src/index.ts";
import { Tick } from "../support/events.ts";
import { forgetPrefix, freshPrefix } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";
import { inProcess } from "./in-process.ts";
import { jsonLines } from "./run-cli.ts";

const broker = await testBroker("rabbitmq");

describe.skipIf(broker === undefined)("a store beside a broker without one", () => {
  it("is looked into by the command line too, when it is told where", async () => {
    const folder = await mkdtemp(join(tmpdir(), "omnibus-cli-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    const [prefix, state] = [freshPrefix(), `sqlite:${join(folder, "state.db")}`];
    onTestFinished(() => forgetPrefix(broker!.url, prefix));
    const bus = await connect(broker!.url, { prefix, state });
    onTestFinished(() => bus.close().then(() => undefined));
    await (await bus.subscribe(Tick, async () => undefined, { group: "g" })).unsubscribe();
    await bus.publish(Tick, { n: 1 }, { delayMs: 3_600_000 });

    const where = ["--url", broker!.url, "--prefix", prefix];
    const scheduled = async (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<unknown> => {
      const { code, stdout, stderr } = await inProcess(["groups", ...where, ...args], { env });
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      return jsonLines(stdout)[0]?.["scheduled"];
    };
    expect(await scheduled(["--state", state])).toBe(1);
    expect(await scheduled([], { OMNIBUS_STATE: state })).toBe(1);
    expect(await scheduled([]), "it does not know of it").toBe(0);

    const elsewhere = "redis://app:hunter2@127.0.0.1:1";
    const refused = await inProcess(["groups", ...where, "--state", elsewhere, "--timeout", "500", "--verbose"]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("state store");
    expect(refused.stderr).not.toContain("hunter2");
  });
});
