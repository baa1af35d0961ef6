import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chownSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import { connect, type PublishError, typed, defineEvent } from "../../src/index.ts";
import { until } from "../../src/testing/until.ts";
import { freshSchema } from "../support/postgres-world.ts";
import { testBroker } from "../support/test-broker.ts";

const Load = defineEvent("load", { schema: typed<{ n: number; text: string }>() });
const mounts = process.getuid?.() === 0 && process.platform === "linux";
const broker = mounts ? await testBroker("postgres", { own: true }) : undefined;
const port = broker?.servers[0]?.port ?? 0;

it.skipIf(broker === undefined)(
  "refuses and goes on when space is freed, on a disk that is full",
  { timeout: 60_000 },
  async (context) => {
    const [[pid] = []] = await postgresCommand(
      port,
      "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'",
    );
    const folder = mkdtempSync(join(tmpdir(), "omnibus-disk-"));
    const [disk, uid] = [join(folder, "disk"), ownerOf(Number(pid))];
    execFileSync("chmod", ["a+rx", folder]);
    mkdirSync(disk);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m,mode=0755", "tmpfs", disk]);
    } catch {
      rmSync(folder, { recursive: true });
      return context.skip("this machine mounts nothing");
    }
    try {
      const ballast = join(disk, "ballast");
      const space = join(disk, "space");
      writeFileSync(ballast, Buffer.alloc(4_000_000));
      mkdirSync(space);
      chownSync(space, uid, uid);
      await postgresCommand(port, `CREATE TABLESPACE small LOCATION '${space}'`);
      await postgresCommand(port, "ALTER DATABASE postgres SET default_tablespace = 'small'");
      const schema = await freshSchema(port);
      await using bus = await connect(broker!.url, { postgres: { schema }, publishing: { retry: { maxAttempts: 1 } } });
      const handled = new Set<number>();
      await bus.subscribe(Load, ({ data }) => void handled.add(data.n), { group: "g" });
      const stored: number[] = [];
      const publish = async (n: number): Promise<PublishError | undefined> => {
        try {
          await bus.publish(Load, { n, text: randomBytes(15_000).toString("base64") });
          stored.push(n);
          return undefined;
        } catch (error) {
          return error as PublishError;
        }
      };
      let n = 0;
      let refused: PublishError | undefined;
      while (refused === undefined && n < 1_000) refused = await publish((n += 1));
      expect([refused?.code, refused?.outcome, refused?.retryable]).toEqual(["BUS_FULL", "rejected", true]);
      rmSync(ballast);
      await until(async () => (await publish((n += 1))) === undefined, "room to be found");
      for (let more = 0; more < 20; more += 1) expect(await publish((n += 1))).toBeUndefined();
      await until(
        () => stored.every((each) => handled.has(each)),
        () => `${stored.length} to be handled; ${handled.size} were`,
      );
      expect(handled.size).toBe(stored.length);
    } finally {
      await broker![Symbol.asyncDispose]();
      execFileSync("umount", ["-l", disk]);
      rmSync(folder, { recursive: true });
    }
  },
);

/** Whom a process works as. */
const ownerOf = (pid: number): number => statSync(`/proc/${pid}`).uid;
