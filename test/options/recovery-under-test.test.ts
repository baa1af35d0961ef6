import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { describe, expect, it, vi } from "vitest";
import { memory } from "../../src/drivers/memory/index.ts";
import { type RecoveryUnderTest, testRecovery, until } from "../../src/testing/index.ts";
import { RecoveryLab } from "../../src/testing/outages/recovery-lab.ts";
import { runRecovery } from "../../src/testing/outages/test-recovery.ts";
import { sqliteUnderTest } from "../recovery/sqlite-member.ts";

const nothing = async (): Promise<void> => undefined;
const embedded: RecoveryUnderTest = {
  name: "mine",
  capabilities: { ...memory().capabilities, durable: true },
  broker: { embedded: async () => ({ url: "mine:", [Symbol.asyncDispose]: nothing }) },
  config: () => ({ driver: memory() }),
  member: new URL("no-module.ts", import.meta.url),
};

/** What the suite declares for a driver, without running it. */
function declared(options: Partial<RecoveryUnderTest>): {
  readonly groups: readonly string[];
  readonly ran: string;
  readonly skipped: string;
} {
  const said = vi.spyOn(console, "info").mockImplementation(() => undefined);
  const groups: string[] = [];
  const [ran, skipped]: [string[], string[]] = [[], []];
  testRecovery(
    {
      describe: (name, body) => {
        groups.push(name);
        body();
      },
      it: Object.assign((name: string) => void ran.push(name), { skip: (name: string) => void skipped.push(name) }),
    },
    { ...embedded, ...options },
  );
  said.mockRestore();
  return { groups, ran: ran.join("\n"), skipped: skipped.join("\n") };
}

describe("what the recovery suite is told of a driver", () => {
  it("option: RecoveryUnderTest.name is what its tests are called", () => {
    expect(declared({ name: "mine" }).groups[0]).toBe("mine recovers");
    expect(declared({ name: "yours" }).groups[0]).toBe("yours recovers");
  });

  it("option: RecoveryUnderTest.capabilities choose what is skipped", () => {
    const capabilities = { ...embedded.capabilities, order: false };
    expect(declared({ capabilities }).skipped).toContain("mine declares order: false");
    expect(declared({}).skipped).not.toContain("order");
    expect(declared({ capabilities: memory().capabilities }).ran).toBe("");
  });

  it("option: RecoveryUnderTest.broker.create, RecoveryUnderTest.broker.embedded are made for each test; without a broker what needs it is skipped", async () => {
    expect(declared({}).skipped).toContain("has no broker: its store is embedded");
    expect(declared({ broker: { create: () => Promise.reject(new Error("not run")) } }).skipped).not.toContain(
      "broker:",
    );
    const store = vi.fn(async () => ({ url: "mine:", [Symbol.asyncDispose]: nothing }));
    const driver = { ...embedded, broker: { embedded: store } };
    for (const name of ["one", "another"])
      await runRecovery(driver, { name, needs: [] }, async (lab) => void (await lab.bus()));
    expect(store).toHaveBeenCalledTimes(2);
  });

  it("option: RecoveryUnderTest.config is what its buses are made of, under a prefix for each test", async () => {
    const urls: string[] = [];
    const prefixes = new Set<string | undefined>();
    const driver = { ...embedded, config: (url: string) => ({ driver: memory(), name: `bus-${urls.push(url)}` }) };
    for (const title of ["one", "another"]) {
      await using lab = await RecoveryLab.open(driver, title);
      expect((await lab.bus()).name).toBe(`bus-${urls.length}`);
      await lab.bus({}, "elsewhere:");
      prefixes.add(lab.config().prefix);
    }
    expect(urls.filter((_, index) => index % 3 < 2)) // the third is asked for its prefix
      .toEqual(["mine:", "elsewhere:", "mine:", "elsewhere:"]);
    expect(prefixes.size).toBe(2);
  });

  it("option: RecoveryUnderTest.leaseMs, RecoveryUnderTest.silenceMs, RecoveryUnderTest.repeatsMs are what its tests allow for", async () => {
    const allowed = async (options: Partial<RecoveryUnderTest>): Promise<readonly number[]> => {
      await using lab = await RecoveryLab.open({ ...embedded, ...options }, "allowed");
      return [lab.leaseMs, lab.silenceMs, lab.repeatsMs];
    };
    expect(await allowed({})).toEqual([10_000, 15_000, 100]);
    expect(await allowed({ leaseMs: 1, silenceMs: 2, repeatsMs: 3 })).toEqual([1, 2, 3]);
  });

  it("option: RecoveryUnderTest.rewriteReply is asked what clients behind a proxy get of an answer", async () => {
    const target = createServer((socket) => socket.end("at home")).listen(0, "127.0.0.1");
    await once(target, "listening");
    const url = `mine://127.0.0.1:${(target.address() as AddressInfo).port}`;
    const asked: unknown[] = [];
    const store = async () => ({ url, [Symbol.asyncDispose]: async () => void target.close() });
    await using lab = await RecoveryLab.open(
      {
        ...embedded,
        broker: { embedded: store },
        rewriteReply: (reply, ...where) => {
          asked.push([Buffer.from(reply).toString(), ...where]);
          return Buffer.from("at work");
        },
      },
      "rewritten",
    );
    const { proxy } = await lab.proxy();
    const socket = connect(proxy.port, "127.0.0.1");
    const [answer] = (await once(socket, "data")) as [Buffer];
    socket.destroy();
    expect([String(answer), asked]).toEqual(["at work", [["at home", url, proxy.port]]]);
  });

  it("option: RecoveryUnderTest.member, RecoveryUnderTest.stop are its process, and how that is stopped", async () => {
    const stopped: unknown[] = [];
    const driver: RecoveryUnderTest = {
      ...sqliteUnderTest,
      stop: async (pid, url) => {
        stopped.push([pid, url]);
        process.kill(pid, "SIGSTOP");
      },
    };
    await using lab = await RecoveryLab.open(driver, "member");
    const bus = await lab.bus();
    const item = lab.event();
    const group = lab.group("g");
    const child = await lab.member("child", { group, order: "none", type: item.type, work: 0, concurrency: 1 });
    const { id } = await bus.publish(item, { n: 1 });
    await until(() => lab.journal.history.some(({ op }) => op === "handled"), "it to be handled there");
    expect(lab.journal.history.map((record) => [record.process, record.op, record.id])).toEqual([
      ["child", "handling", id],
      ["child", "handled", id],
    ]);
    await lab.stop(child);
    expect(stopped).toEqual([[child.pid, lab.names.url]]);
  });

  it("option: RecoveryUnderTest.deleteGroupNatively, RecoveryUnderTest.deleteStreamNatively add their tests", () => {
    const { ran, skipped } = declared({});
    expect(skipped).toContain("mine is given no deleteGroupNatively");
    expect(skipped).toContain("mine is given no deleteStreamNatively");
    expect(ran).not.toContain("natively");
    expect(declared({ deleteGroupNatively: nothing }).ran).toContain("a group deleted natively");
    expect(declared({ deleteStreamNatively: nothing }).ran).toContain("a stream deleted natively");
  });
});
